"""Under load, with everything happening at once: every write is seen by its writer at once, and at quiescence
everything that the API shows equals the oracle."""

from __future__ import annotations

import pytest

from tests.support.loaded_run import Load, loaded_run
from tests.support.stacks import Stack

# Every kind of look, so that none was left out by chance.
LOOKS = {
    *("post", "edit", "delete", "follow", "unfollow", "mute", "unmute", "block", "unblock"),
    *("like", "unlike", "rename", "leave", "read", "delivery"),
}


@pytest.fixture
def stack_settings() -> dict[str, float]:
    return {"pull_threshold": 120, "overlap_s": 2, "bucket_followers": 32}


@pytest.mark.parametrize(
    "stack",
    [
        "embedded",
        pytest.param("embedded, cached", marks=pytest.mark.slow),
        pytest.param("real", marks=pytest.mark.real),
    ],
    indirect=True,
)
@pytest.mark.timeout(400)
async def test_everything_equals_the_oracle_after_a_loaded_run(stack: Stack) -> None:
    load = Load()
    run = await loaded_run(stack, load)
    assert run.wrong == []
    compared, oracle = run.compared, run.oracle
    assert compared.feeds + compared.gone >= load.users
    assert (compared.gone, len(oracle.left)) == (load.leavers, load.leavers)
    assert compared.items > 1_000, "an empty run proves nothing"
    assert compared.likes > 100
    assert compared.sources == {"push", "pull"}
    assert {look for look, looks in run.looks.items() if looks > 3} >= LOOKS
    assert run.reconnected == 3
    assert set(oracle.told) == set(oracle.crossings)
    sides = [crossing.delivery for crossing in oracle.crossings if crossing.author_id == run.star]
    assert sides == ["pull", "push", "pull", "push", "pull"]
    assert len(oracle.awakenings) >= load.sleepers
