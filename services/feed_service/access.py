"""The guard of routes that read a feed: a feed is only for its own viewer."""

from __future__ import annotations

from typing import Final

from fanfold.http.guards import own
from fanfold.http.openapi import Responses
from fanfold.http.problems import Forbidden


class NotYourFeed(Forbidden):
    kind = "not-your-feed"
    title = "Not your feed"


OWN_FEED: Final = own(NotYourFeed, "You can read only your own feed.")
"""The dependencies of a router whose routes read the actor's own feed."""

NOT_OWN_FEED: Responses = {403: {"description": "Not your feed."}}
"""`responses` of such a router."""
