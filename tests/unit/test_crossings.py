"""Crossing the threshold: each crossing is an event, and a changed setting reaches every author that it affects."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fanfold.core.events import COMMANDS, GRAPH, AuthorModeChanged, Event, ReviewDelivery, from_ms
from tests.support.clock import START_MS
from tests.support.crashes import Killed, Life
from tests.support.fanout import SMALL, Pipeline, a_follow, a_pipeline, an_unfollow

UP = [a_follow(name) for name in ("bob", "carl", "dave")]
DOWN = [an_unfollow("bob")]
AGAIN = [a_follow("bob")]
THERE_AND_BACK: list[Event] = [*UP, *DOWN, *AGAIN, *DOWN]
LOWER = SMALL.model_copy(update={"pull_threshold": 2})


def a_review(author: str = "alice") -> ReviewDelivery:
    return ReviewDelivery(author_id=author, requested_at=from_ms(START_MS))


async def crossings(pipeline: Pipeline) -> list[tuple[str, str, int]]:
    """(ce_id, delivery, followers) of each crossing in the log."""
    rows = await pipeline.log.rows([GRAPH], after=0, limit=1000)
    return [
        (row.record.headers["ce_id"].decode(), event.delivery, event.follower_count)
        for row in rows
        if isinstance(event := row.record.event(), AuthorModeChanged)
    ]


def deliveries(found: Sequence[tuple[str, str, int]]) -> list[tuple[str, int]]:
    return [(delivery, followers) for _, delivery, followers in found]


@pytest.mark.parametrize("take_events", [1, 2, 100])
async def test_every_crossing_is_appended_once_in_any_batches(take_events: int) -> None:
    async with a_pipeline(SMALL.model_copy(update={"take_events": take_events})) as pipeline:
        await pipeline.handle(*THERE_AND_BACK)
        found = await crossings(pipeline)
        assert deliveries(found) == [("pull", 3), ("push", 2), ("pull", 3), ("push", 2)]
        assert len({ce_id for ce_id, _, _ in found}) == 4


async def test_a_crossing_has_the_log_time_of_its_cause() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.append(*UP[:2])
        pipeline.clock.advance(7)
        await pipeline.append(UP[2])
        pipeline.clock.advance(60)
        await pipeline.drain()
        rows = await pipeline.log.rows([GRAPH], after=0, limit=10)
        crossing = rows[-1].record.event()
        assert isinstance(crossing, AuthorModeChanged)
        assert (crossing.changed_at, crossing.caused_by) == (from_ms(START_MS + 7000), 2)


async def test_redelivered_events_cross_no_second_time() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.append(*THERE_AND_BACK)
        worker = pipeline.worker()
        for _ in range(3):
            await pipeline.step(worker, GRAPH, limit=100, redelivers=100)
        await pipeline.drain()
        assert len(await crossings(pipeline)) == 4


async def test_after_a_crash_anywhere_no_crossing_is_lost_and_a_repeated_one_is_recognised() -> (
    None
):
    lived = Life()
    async with a_pipeline() as pipeline:
        await pipeline.append(*THERE_AND_BACK)
        await pipeline.drain(pipeline.worker(lived))
        expected = await crossings(pipeline)

    repeated = 0
    for writes in range(lived.written):
        async with a_pipeline() as pipeline:
            await pipeline.append(*THERE_AND_BACK)
            with pytest.raises(Killed):
                await pipeline.drain(pipeline.worker(Life(writes)))
            await pipeline.drain()
            found = await crossings(pipeline)
            assert list(dict.fromkeys(found)) == expected, f"after {writes} writes"
            repeated += len(found) - len(expected)
    assert repeated > 0


@pytest.mark.parametrize(
    ("before", "after", "side"),
    [(100, 2, "pull"), (2, 100, "push"), (2, 3, "pull"), (100, 3, "push")],
)
@pytest.mark.parametrize("event", [a_review(), a_follow("bob"), an_unfollow("nobody")])
async def test_a_changed_threshold_is_applied_by_a_review_or_at_the_next_graph_event(
    before: int, after: int, side: str, event: Event
) -> None:
    """An author of 2 is between 0.6 of a threshold of 3 and that threshold: the hysteresis holds here too."""
    was = SMALL.model_copy(update={"pull_threshold": before, "pull_hysteresis": 0.6})
    async with a_pipeline(was) as pipeline:
        await pipeline.handle(a_follow("bob"), a_follow("carl"))
        first = await crossings(pipeline)
        pipeline.settings = was.model_copy(update={"pull_threshold": after})
        await pipeline.handle(event)
        alice = await pipeline.user("alice")
        assert (alice.delivery, alice.follower_count) == (side, 2)
        changed = (side == "pull") != (before == 2)
        assert deliveries((await crossings(pipeline))[len(first) :]) == [(side, 2)] * changed


async def test_a_review_of_an_author_with_the_right_delivery_appends_nothing() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*UP[:2], a_review(), a_review("nobody"))
        assert await crossings(pipeline) == []
        assert (await pipeline.user("alice")).follower_count == 2


async def test_a_review_delivered_again_under_other_settings_changes_nothing() -> None:
    """The row has seen it: only an event that is new decides anything."""
    async with a_pipeline() as pipeline:
        await pipeline.append(*UP[:2], a_review())
        await pipeline.step(pipeline.worker(), COMMANDS, limit=100)
        await pipeline.step(pipeline.worker(), GRAPH, limit=100, redelivers=100)
        pipeline.settings = SMALL.model_copy(update={"pull_threshold": 1})
        await pipeline.drain()
        assert await crossings(pipeline) == []


async def test_the_crossing_of_a_review_delivered_again_under_other_settings_changes_nothing() -> (
    None
):
    async with a_pipeline() as pipeline:
        await pipeline.handle(*UP[:2])
        pipeline.settings = LOWER
        await pipeline.handle(a_review())
        assert deliveries(found := await crossings(pipeline)) == [("pull", 2)]
        pipeline.settings = SMALL
        pipeline.acknowledged[GRAPH] = 0
        await pipeline.drain()
        assert await crossings(pipeline) == found
        assert (await pipeline.user("alice")).delivery == "pull"


async def test_after_a_crash_anywhere_in_a_review_its_crossing_is_there_under_one_id() -> None:
    lived = Life()
    async with a_pipeline() as pipeline:
        await pipeline.handle(*UP[:2])
        pipeline.settings = LOWER
        await pipeline.append(a_review())
        await pipeline.drain(pipeline.worker(lived))
        expected = await crossings(pipeline)
    assert deliveries(expected) == [("pull", 2)]

    for writes in range(lived.written):
        async with a_pipeline() as pipeline:
            await pipeline.handle(*UP[:2])
            pipeline.settings = LOWER
            await pipeline.append(a_review())
            with pytest.raises(Killed):
                await pipeline.drain(pipeline.worker(Life(writes)))
            await pipeline.drain()
            assert list(dict.fromkeys(await crossings(pipeline))) == expected, f"{writes} writes"
            assert (await pipeline.user("alice")).delivery == "pull"


@pytest.mark.parametrize("follow_first", [True, False])
async def test_counts_between_a_review_and_its_crossing_are_already_decided(
    follow_first: bool,
) -> None:
    """Whatever that crossing says, the last one in the log has the delivery of the row."""
    five = SMALL.model_copy(update={"pull_threshold": 5, "pull_hysteresis": 0.6})
    async with a_pipeline(five.model_copy(update={"pull_threshold": 100})) as pipeline:
        await pipeline.handle(*(a_follow(f"fan-{n}") for n in range(5)))
        pipeline.settings = five
        meanwhile = [an_unfollow(f"fan-{n}") for n in range(3)]  # down to 2, below 60 %
        back = a_follow("bob")  # and up to 3: between the two, where the hysteresis holds
        worker = pipeline.worker()
        if follow_first:
            await pipeline.append(a_follow("eve"))  # 6: the worker crosses by itself
        await pipeline.append(*meanwhile, a_review())
        await pipeline.step(worker, COMMANDS, limit=1)  # decided by the row as it was: pull
        await pipeline.append(back)
        await pipeline.drain(worker)
        last = (await crossings(pipeline))[-1]
        assert last[1] == (await pipeline.user("alice")).delivery
