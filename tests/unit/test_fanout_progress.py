from __future__ import annotations

import pytest

from fanfold.core.errors import Fault
from fanfold.core.lag import PartitionLag
from fanout_service.partitions import refuse_other_partitions
from fanout_service.progress import Progress, Stalled
from tests.support.clock import ManualClock


def a_lag(
    committed: int, records: int, *, topic: str = "posts.v1", partition: int = 0
) -> PartitionLag:
    return PartitionLag(topic, partition, committed, end=committed + records)


def is_stuck(progress: Progress) -> bool:
    try:
        progress.check()
    except Stalled:
        return True
    return False


def refuses(found: dict[str, int], recorded: dict[str, int], *, declared: set[str]) -> bool:
    try:
        refuse_other_partitions(found, recorded, declared=declared)
    except Fault:
        return True
    return False


def test_a_worker_that_acknowledges_nothing_while_there_is_work_is_stuck() -> None:
    clock = ManualClock()
    progress = Progress(clock)
    progress.observe([a_lag(committed=5, records=3)])
    clock.advance(60)
    progress.observe([a_lag(committed=5, records=9)])
    assert not is_stuck(progress)
    clock.advance(1)
    with pytest.raises(Stalled, match=r"posts\.v1"):
        progress.check()


def test_a_worker_that_makes_slow_progress_is_alive() -> None:
    clock = ManualClock()
    progress = Progress(clock)
    for committed in range(10):
        progress.observe([a_lag(committed, records=1000)])
        clock.advance(59)
        assert not is_stuck(progress)


def test_a_worker_with_nothing_to_do_is_alive() -> None:
    clock = ManualClock()
    progress = Progress(clock)
    for _ in range(100):
        progress.observe([a_lag(committed=5, records=0)])
        clock.advance(5)
        assert not is_stuck(progress)


def test_a_revoked_partition_is_forgotten() -> None:
    clock = ManualClock()
    progress = Progress(clock)
    progress.observe([a_lag(committed=5, records=3)])
    clock.advance(61)
    progress.observe([])
    assert not is_stuck(progress)


def test_a_worker_starts_if_the_partition_counts_are_as_recorded() -> None:
    found = {"posts.v1": 12, "another": 3}
    assert not refuses(found, {"posts.v1": 12}, declared={"posts.v1"})


@pytest.mark.parametrize(
    ("found", "recorded", "why"),
    [
        ({"posts.v1": 24}, {"posts.v1": 12}, "has 24 partitions and was created with 12"),
        ({}, {"posts.v1": 12}, "has 0 partitions"),
        ({"posts.v1": 12}, {}, "topics apply"),
    ],
)
def test_a_worker_refuses_to_start_on_other_partition_counts(
    found: dict[str, int], recorded: dict[str, int], why: str
) -> None:
    with pytest.raises(Fault, match=why):
        refuse_other_partitions(found, recorded, declared={*found, *recorded})


def test_a_partition_may_wait_while_others_of_its_topic_advance() -> None:
    clock = ManualClock()
    progress = Progress(clock)
    for committed in range(20):
        busy = a_lag(committed, records=500, topic="fanout.commands.v1", partition=0)
        waiting = a_lag(0, records=500, topic="fanout.commands.v1", partition=1)
        progress.observe([busy, waiting])
        assert not is_stuck(progress)
        clock.advance(30)


def test_a_stuck_topic_is_found_although_another_one_advances() -> None:
    clock = ManualClock()
    progress = Progress(clock)
    for committed in range(3):
        progress.observe([a_lag(committed, records=5), a_lag(7, records=5, topic="graph.v1")])
        clock.advance(30)
    with pytest.raises(Stalled, match="graph"):
        progress.check()


def test_an_older_worker_ignores_the_topics_of_a_later_version() -> None:
    recorded = {"posts.v1": 12, "added.later.v1": 12}
    assert not refuses({"posts.v1": 12}, recorded, declared={"posts.v1"})
    assert refuses({"posts.v1": 12}, recorded, declared={"posts.v1", "added.later.v1"})
