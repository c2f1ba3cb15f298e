"""Retrying with backoff: pauses that double, up to a longest one, until a budget is spent."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to pause between attempts, in seconds.

    The first pause is `first_s`; each further one is twice as long, at most `longest_s`. `jitter` is the random share of a
    pause, from 0 to 1: clients that failed together then don't come back together.
    """

    first_s: float
    longest_s: float
    jitter: float = 0.0

    def after(self, pause_s: float) -> float:
        """The pause that follows a pause of `pause_s`, before jitter."""
        return min(2 * pause_s, self.longest_s)


async def retry(
    attempt: Callable[[], Awaitable[T]],
    *,
    backoff: Backoff,
    clock: Clock,
    budget_s: float | None = None,
    deadline_s: float | None = None,
    on: type[Exception] | tuple[type[Exception], ...] = Transient,
    failed: Callable[[Exception], None] = lambda _: None,
    chance: Callable[[], float] = random.random,
) -> T:
    """Call `attempt` until it returns, and return what it returned. Raises its last error when the time is over.

    The time is over when the next pause would end after `budget_s` seconds counted from the first failure, or after
    `deadline_s` on `clock.monotonic_s()`; without either it never is. Errors other than `on` are raised at once.
    `failed` is called with every error of `on`, the last one too, before the pause. `attempt` must be idempotent, and is not
    interrupted: an attempt that can hang needs a timeout of its own (and `TimeoutError` in `on`).

    To wait until something shows, let `attempt` raise a `Transient` while it doesn't:

        row = await retry(shown, backoff=Backoff(first_s=0.01, longest_s=0.1), clock=clock, deadline_s=deadline_s)
    """
    pause_s = backoff.first_s
    while True:
        try:
            return await attempt()
        except on as error:
            failed(error)
            now_s = clock.monotonic_s()
            if deadline_s is None and budget_s is not None:
                deadline_s = now_s + budget_s
            if deadline_s is not None and now_s + pause_s > deadline_s:
                raise
            await clock.sleep(pause_s * (1 - backoff.jitter * (1 - chance())))
            pause_s = backoff.after(pause_s)
