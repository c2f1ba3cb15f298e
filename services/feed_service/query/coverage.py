"""Which sources a request could ask, so that no feed is ever silently short.

`likes`: what the reader likes could not be read, so that `liked_by_me` may be false where it shouldn't, and relevance
knows no affinity. `rebuilding`: the reader slept, and the feed could not be pulled together in time. `behind`: a write that the request
had to see is not in the tables yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sized
from typing import Literal, TypeVar

from fanfold.core.errors import Transient, Unavailable

T = TypeVar("T")

SourceName = Literal["timeline", "celebrities", "graph", "posts", "likes", "rebuilding", "behind"]


class Coverage:
    """One request's: who answered, and who did not."""

    def __init__(self) -> None:
        self.answered: set[SourceName] = set()
        self.missing: set[SourceName] = set()
        self.without_content = False
        """Whether posts had to be left out because their content could not be read."""

    async def ask(self, source: SourceName, answer: Awaitable[T]) -> T | None:
        """The answer, or None when the source is unavailable, which is noted."""
        try:
            result = await answer
        except Transient:
            self.missing.add(source)
            return None
        self.answered.add(source)
        return result

    def refuse_nothing(self, found: Sized) -> None:
        """Raise `Unavailable` where nothing was found because nobody was there to say so."""
        nobody = bool(self.missing) and not self.answered - {"graph", "likes"}
        if not found and (nobody or self.without_content):
            raise Unavailable("no source of the feed could be asked")
