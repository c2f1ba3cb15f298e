"""The time budget of a source, so that no store that is away holds a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable
from contextlib import suppress
from typing import TypeVar

from fanfold.core.errors import Transient, Unavailable

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

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
