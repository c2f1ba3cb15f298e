"""The time budget of a source, so that no unavailable store delays a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable
from contextlib import suppress
from typing import TypeVar

from fanfold.core.errors import Transient, Unavailable

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_MOST_IN_FLIGHT = 64  # queries of one request when nothing is cached


async def within(budget_s: float, answer: Awaitable[T]) -> T:
    """The answer of a store. Raises `Unavailable` if it takes longer."""
    try:
        async with asyncio.timeout(budget_s):
            return await answer
    except TimeoutError as error:
        raise Unavailable(f"no answer within {budget_s} s") from error


async def each_within(
    budget_s: float, keys: Collection[K], ask: Callable[[K], Awaitable[T]]
) -> dict[K, T]:
    """The answers for all keys, asked for concurrently; a key whose answer is unavailable is absent.

    The budget includes the wait for a turn: with a dead store, a thousand keys take no longer than one.
    """
    turns = asyncio.Semaphore(_MOST_IN_FLIGHT)
    answers: dict[K, T] = {}

    async def in_turn(key: K) -> T:
        async with turns:
            return await ask(key)

    async def keep_answer(key: K) -> None:
        with suppress(Transient):
            answers[key] = await within(budget_s, in_turn(key))

    await asyncio.gather(*map(keep_answer, keys))
    return answers
