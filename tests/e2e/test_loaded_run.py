"""Under load, with everything happening at once: every write is seen by its writer at once, and at quiescence
everything that the API shows equals the oracle. `tests/faults` has the same run on the real engines, whose cache is killed meanwhile."""

from __future__ import annotations

import pytest

from tests.support.compare_loaded_run import SETTINGS, assert_equals_the_oracle
from tests.support.loaded_run import Load, loaded_run
from tests.support.stacks import Stack


@pytest.fixture
def stack_settings() -> dict[str, float]:
    return SETTINGS


@pytest.mark.parametrize(
    "stack",
    ["embedded", pytest.param("embedded, cached", marks=pytest.mark.slow)],
    indirect=True,
)
async def test_everything_equals_the_oracle_after_a_loaded_run(stack: Stack) -> None:
    load = Load()
    assert_equals_the_oracle(await loaded_run(stack, load), load)
