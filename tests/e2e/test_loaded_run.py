"""Under load, with everything happening at once: at quiescence every whole feed equals the oracle."""

from __future__ import annotations

import pytest

from tests.support.loaded_run import Load, loaded_run
from tests.support.stacks import Stack


@pytest.fixture
def stack_settings() -> dict[str, float]:
    return {"pull_threshold": 300, "overlap_s": 1, "bucket_followers": 64}


@pytest.mark.timeout(400)
async def test_every_feed_equals_the_oracle_after_a_loaded_run(stack: Stack) -> None:
    outcome = await loaded_run(stack, Load())
    assert outcome.wrong == []
    assert outcome.feeds == Load().users
    assert outcome.items > 1_000, "an empty run proves nothing"
    assert outcome.sources == {"push", "pull"}
