"""Which sources of a feed answered, so that no feed is ever silently short.

`likes`: the viewer's likes could not be read, so `liked_by_me` may be false where it shouldn't, and relevance knows no
affinity. `rebuilding`: the viewer slept, and the feed could not be pulled together in time. `behind`: a write that the
request had to see is not in the tables yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sized
from typing import Literal, TypeVar

from fanfold.core.errors import Transient, Unavailable
from feed_service.caches.cache import Incomplete

K = TypeVar("K")
T = TypeVar("T")

SourceName = Literal["timeline", "celebrities", "graph", "posts", "likes", "rebuilding", "behind"]


class Coverage:
    """The sources that answered one request, and those that did not."""

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

    async def ask_many(
        self, source: SourceName, answer: Awaitable[Mapping[K, T]]
    ) -> tuple[Mapping[K, T], bool]:
        """What was found, and whether that is all; otherwise the source is unavailable, which is noted."""
        try:
            found = await answer
        except Incomplete as error:
            self.missing.add(source)
            return error.found, False
        self.answered.add(source)
        return found, True

    def require_any(self, found: Sized) -> None:
        """Raise `Unavailable` when nothing was found because no source of posts answered."""
        no_answer = bool(self.missing) and not self.answered - {"graph", "likes"}
        if not found and (no_answer or self.without_content):
            raise Unavailable("no source of the feed could be asked")
