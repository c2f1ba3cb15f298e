"""Retrying with backoff, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fanfold.core.errors import Rejected, Unavailable
from fanfold.core.retry import Backoff, retry
from tests.support.clock import ManualClock

BACKOFF = Backoff(first_s=1, longest_s=5)


def failing(times: int, error: type[Exception] = Unavailable) -> Callable[[], Awaitable[str]]:
    """An attempt that fails so often and then succeeds."""
    left = iter(range(times))

    async def attempt() -> str:
        if (number := next(left, None)) is not None:
            raise error(f"failure {number}")
        return "done"

    return attempt


async def test_what_succeeds_at_once_waits_for_nothing() -> None:
    clock = ManualClock(autojump=True)
    assert await retry(failing(0), backoff=BACKOFF, clock=clock, budget_s=0) == "done"
    assert clock.slept_s == []


async def test_pauses_double_up_to_the_longest() -> None:
    clock = ManualClock(autojump=True)
    assert await retry(failing(5), backoff=BACKOFF, clock=clock) == "done"
    assert clock.slept_s == [1, 2, 4, 5, 5]


async def test_the_last_error_is_raised_when_the_next_pause_would_exceed_the_budget() -> None:
    clock = ManualClock(autojump=True)
    with pytest.raises(Unavailable, match="failure 3"):
        await retry(failing(99), backoff=BACKOFF, clock=clock, budget_s=7)
    assert clock.slept_s == [1, 2, 4]


async def test_the_budget_counts_from_the_first_failure() -> None:
    clock = ManualClock(autojump=True)
    fails = failing(2)

    async def slow() -> str:
        clock.advance(100)
        return await fails()

    with pytest.raises(Unavailable, match="failure 1"):
        await retry(slow, backoff=BACKOFF, clock=clock, budget_s=100)
    assert clock.slept_s == [1]


async def test_a_deadline_counts_by_the_clock_whatever_the_attempts_took() -> None:
    clock = ManualClock(autojump=True)
    clock.advance(10)
    with pytest.raises(Unavailable, match="failure 2"):
        await retry(failing(99), backoff=BACKOFF, clock=clock, deadline_s=13)
    assert clock.slept_s == [1, 2]


async def test_jitter_shortens_a_pause_by_its_share_at_most() -> None:
    chances = iter([0.0, 0.5, 1.0])
    clock = ManualClock(autojump=True)
    half_random = Backoff(first_s=1, longest_s=5, jitter=0.5)
    await retry(failing(3), backoff=half_random, clock=clock, chance=lambda: next(chances))
    assert clock.slept_s == [0.5, 1.5, 4]


async def test_an_error_that_repeating_does_not_cure_is_raised_at_once() -> None:
    clock = ManualClock(autojump=True)
    with pytest.raises(Rejected):
        await retry(failing(1, Rejected), backoff=BACKOFF, clock=clock)
    assert clock.slept_s == []


async def test_other_errors_are_retried_when_they_are_named() -> None:
    clock = ManualClock(autojump=True)
    errors = (TimeoutError, Unavailable)
    assert await retry(failing(1, TimeoutError), backoff=BACKOFF, clock=clock, on=errors) == "done"


async def test_every_failure_is_reported_the_last_one_too() -> None:
    seen: list[str] = []
    with pytest.raises(Unavailable):
        await retry(
            failing(99),
            backoff=BACKOFF,
            clock=ManualClock(autojump=True),
            budget_s=2,
            failed=lambda error: seen.append(str(error)),
        )
    assert seen == ["failure 0", "failure 1"]
