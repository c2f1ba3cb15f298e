"""Waiting around real processes: what counts is a look that begins when the time has passed."""

from __future__ import annotations

import time

import pytest

from tests.support.eventually import eventually

WITHIN_S = 0.05


async def test_a_slow_look_is_followed_by_one_that_begins_in_time() -> None:
    """A machine that is busy for a while answers the first look late and with what was true at its beginning."""
    looks: list[bool] = []

    async def holds() -> bool:
        looks.append(bool(looks))
        time.sleep(2 * WITHIN_S)  # noqa: ASYNC251 - the machine is busy
        return looks[-1]

    await eventually(holds, within_s=WITHIN_S, what="the second look", every_s=0)
    assert looks == [False, True]


async def test_what_does_not_hold_in_time_fails_with_what_was_waited_for() -> None:
    looked_s: list[float] = []

    async def never() -> bool:
        looked_s.append(time.monotonic())
        return False

    began_s = time.monotonic()
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: pigs that fly"):
        await eventually(never, within_s=WITHIN_S, what="pigs that fly", every_s=0.001)
    assert looked_s[-1] - began_s >= WITHIN_S
