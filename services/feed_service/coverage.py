"""Which sources a request could ask, so that no feed is ever silently short.

`likes`: what the reader likes could not be read, so that `liked_by_me` may be false where it shouldn't, and relevance
knows no affinity. `rebuilding`: the reader slept, and the feed could not be pulled together in time. `behind`: a write that the request
had to see is not in the tables yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Sized
from contextlib import suppress
from typing import Literal, TypeVar

from fanfold.errors import Transient, Unavailable

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

SourceName = Literal["timeline", "celebrities", "graph", "posts", "likes", "rebuilding", "behind"]

_ASKED_AT_ONCE = 64  # queries that one request may have in flight when everything is cold


async def within(budget_s: float, answer: Awaitable[T]) -> T:
    """The answer of a store. Raises `Unavailable` if it takes longer, so that no dead store holds a request."""
    try:
        async with asyncio.timeout(budget_s):
            return await answer
    except TimeoutError as error:
        raise Unavailable(f"no answer within {budget_s} s") from error


async def each_within(
    budget_s: float, keys: Collection[K], ask: Callable[[K], Awaitable[T]]
) -> dict[K, T]:
    """The answers for all keys, asked for at once; a key whose answer is unavailable is absent.

    The budget covers the waiting for a turn too: with a dead store, a thousand keys take no longer than one.
    """
    turns = asyncio.Semaphore(_ASKED_AT_ONCE)
    answers: dict[K, T] = {}

    async def in_turn(key: K) -> T:
        async with turns:
            return await ask(key)

    async def keep_answer(key: K) -> None:
        with suppress(Transient):
            answers[key] = await within(budget_s, in_turn(key))

    await asyncio.gather(*map(keep_answer, keys))
    return answers


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
