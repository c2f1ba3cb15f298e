"""The shared cache under every order of its readers', writers' and server's steps that hypothesis thinks of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.settings import Settings
from tests.support.cache_races import (
    OF_A_LIST,
    OF_A_VALUE,
    OF_OUTAGES,
    OF_THE_SERVER,
    CacheRaces,
    schedules,
)
from tests.support.examples import examples
from tests.support.shared_caches import ServerInMemory

SETTINGS = Settings(feed_depth=3)
STEPS = 50


def run_now(never_waits: Coroutine[Any, Any, None]) -> None:
    """What is in memory waits for nothing, so no event loop is needed: it would take most of the time."""
    with pytest.raises(StopIteration):
        never_waits.send(None)


def raced(steps: list[tuple[str, int]]) -> Counter[str]:
    races = CacheRaces(ServerInMemory(SETTINGS))
    run_now(races.run(steps))
    return races.found


@examples(600)
@given(
    st.one_of(
        schedules(OF_A_VALUE, steps=STEPS),
        schedules(OF_A_VALUE, OF_OUTAGES, OF_THE_SERVER, steps=STEPS),
    )
)
def test_no_value_is_older_than_the_newest_write_that_was_told(
    steps: list[tuple[str, int]],
) -> None:
    raced(steps)


@examples(600)
@given(
    st.one_of(
        schedules(OF_A_LIST, steps=STEPS),
        schedules(OF_A_LIST, OF_OUTAGES, OF_THE_SERVER, steps=STEPS),
    )
)
def test_no_list_lacks_a_delivery_that_was_pushed(steps: list[tuple[str, int]]) -> None:
    raced(steps)


def test_the_steps_lead_to_values_and_lists() -> None:
    """Otherwise the two properties say nothing."""
    steps = [("write", 0), ("look_up", 0), ("read", 0), ("fill", 0), ("tell", 0), ("look_up", 0)]
    steps += [("read", 0), ("fill", 0), ("look_up", 1)]
    steps += [
        ("deliver", 5),
        ("feed", 0),
        ("tell", 0),
        ("read_the_timeline", 1),
        ("fill_the_feed", 0),
    ]
    steps += [("feed", 1)]
    assert raced(steps) == {"value": 1, "list": 1}
