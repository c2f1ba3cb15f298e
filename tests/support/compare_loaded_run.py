"""The assertions about a loaded run: it did everything, and everything that the API shows equals the oracle."""

from __future__ import annotations

from tests.support.loaded_run import Load, Run

# Every kind of look, so that none was left out by chance.
LOOKS = {
    *("post", "edit", "delete", "follow", "unfollow", "mute", "unmute", "block", "unblock"),
    *("like", "unlike", "rename", "leave", "read", "delivery"),
}

SETTINGS: dict[str, float] = {"pull_threshold": 120, "overlap_s": 2, "bucket_followers": 32}
"""With these, the audiences of a run cross the threshold and fill several buckets."""


def assert_equals_the_oracle(run: Run, load: Load) -> None:
    """Fails with the differences, or with what this run lacked and so did not prove."""
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
