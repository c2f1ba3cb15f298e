from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from fanfold.core.errors import Fault, Rejected, Unavailable
from fanfold.core.events import GRAPH, UserFollowed
from fanfold.core.ports.log import Record
from fanout_service.entries import Entry
from fanout_service.settle import Route, Settler
from tests.support.clock import ManualClock
from tests.support.fanout import a_follow, a_pipeline, a_record


@dataclass
class Projection:
    """Fails as told, by follower: with each of the errors once, then not any more."""

    failures: dict[str, list[Exception]] = field(default_factory=dict)
    groups: list[list[str]] = field(default_factory=list)

    async def project(self, entries: Sequence[Entry]) -> None:
        await asyncio.sleep(0)
        followers = [e.event.follower_id for e in entries if isinstance(e.event, UserFollowed)]
        self.groups.append(followers)
        for follower in followers:
            if self.failures.get(follower):
                raise self.failures[follower].pop(0)

    def route(self, *, together: bool = True) -> Route:
        return Route(self.project, lambda entry: entry.event.key, together=together)


class Graves:
    """The part of a log that settling needs."""

    def __init__(self, failures: Sequence[Exception] = ()) -> None:
        self.dead: list[tuple[int, str]] = []
        self._failures = list(failures)

    async def dead_letter(self, record: Record, reason: str) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.dead.append((record.offset, reason))


def a_settler(log: Any, clock: ManualClock, *, limit: int = 100) -> Settler:
    return Settler(
        log=log, clock=clock, retry_budget_s=45, dead_letter_limit=limit, jitter=lambda: 1.0
    )


def follows(*pairs: tuple[str, str]) -> list[Record]:
    return [a_record(a_follow(*pair), offset=offset) for offset, pair in enumerate(pairs)]


async def test_events_of_one_key_are_handled_as_one_group_in_order() -> None:
    projection = Projection()
    records = follows(("bob", "alice"), ("carl", "zoe"), ("dave", "alice"))
    await a_settler(Graves(), ManualClock()).settle(records, projection.route())
    assert sorted(projection.groups) == [["bob", "dave"], ["carl"]]


async def test_a_retry_repeats_only_the_group_that_failed() -> None:
    projection = Projection({"carl": [Unavailable("away"), Unavailable("away")]})
    clock = ManualClock(autojump=True)
    records = follows(("bob", "alice"), ("carl", "zoe"))
    await a_settler(Graves(), clock).settle(records, projection.route())
    assert projection.groups.count(["bob"]) == 1
    assert projection.groups.count(["carl"]) == 3
    assert clock.slept_s == [0.05, 0.1]


async def test_an_event_by_event_route_repeats_only_the_event_that_failed() -> None:
    projection = Projection({"carl": [Unavailable("away")]})
    records = follows(("bob", "alice"), ("carl", "alice"), ("dave", "alice"))
    settler = a_settler(Graves(), ManualClock(autojump=True))
    await settler.settle(records, projection.route(together=False))
    assert projection.groups == [["bob"], ["carl"], ["carl"], ["dave"]]


async def test_a_store_that_stays_away_is_a_fault_when_the_budget_is_spent() -> None:
    projection = Projection({"bob": [Unavailable("away")] * 1000})
    clock = ManualClock(autojump=True)
    with pytest.raises(Fault, match="45"):
        await a_settler(Graves(), clock).settle(follows(("bob", "alice")), projection.route())
    assert 39 <= clock.monotonic_s() <= 45
    assert max(clock.slept_s) == 5


async def test_what_is_wrong_in_itself_is_buried_and_its_neighbours_live() -> None:
    projection = Projection({"carl": [Rejected("no such thing")] * 2})
    graves = Graves()
    records = follows(("bob", "alice"), ("carl", "alice"), ("dave", "alice"))
    await a_settler(graves, ManualClock()).settle(records, projection.route())
    assert graves.dead == [(1, "Rejected: no such thing")]
    assert projection.groups[1:] == [["bob"], ["carl"], ["dave"]]


async def test_a_bug_is_buried_with_its_name_and_logged_with_its_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    projection = Projection({"bob": [ZeroDivisionError("oh")]})
    graves = Graves()
    await a_settler(graves, ManualClock()).settle(follows(("bob", "alice")), projection.route())
    assert graves.dead == [(0, "ZeroDivisionError: oh")]
    assert any(record.exc_info for record in caplog.records)


async def test_a_dead_letter_that_cannot_be_kept_is_tried_again() -> None:
    graves = Graves(failures=[Unavailable("log away")])
    projection = Projection({"bob": [Rejected("no")]})
    clock = ManualClock(autojump=True)
    await a_settler(graves, clock).settle(follows(("bob", "alice")), projection.route())
    assert graves.dead == [(0, "Rejected: no")]


async def test_a_dead_letter_that_is_too_large_for_the_log_is_kept_without_its_value() -> None:
    graves = Graves(failures=[Rejected("message too large")])
    projection = Projection({"bob": [Rejected("no" * 1000)]})
    await a_settler(graves, ManualClock()).settle(follows(("bob", "alice")), projection.route())
    ((_, reason),) = graves.dead
    assert reason.endswith("(value left out)")
    assert len(reason) < 1100


async def test_too_many_dead_letters_in_a_row_stop_the_worker() -> None:
    graves = Graves()
    records = [a_record(a_follow("bob", "bob"), offset=offset) for offset in range(4)]
    with pytest.raises(Fault, match="3 dead letters in a row"):
        await a_settler(graves, ManualClock(), limit=3).settle(records, Projection().route())
    assert len(graves.dead) == 3


async def test_a_success_between_dead_letters_starts_the_row_again() -> None:
    settler = a_settler(Graves(), ManualClock(), limit=3)
    for _ in range(3):
        poison = [a_record(a_follow("bob", "bob"), offset=offset) for offset in range(2)]
        await settler.settle(poison, Projection().route())
        await settler.settle(follows(("bob", "alice")), Projection().route())


async def test_a_fault_in_one_group_stops_the_others_before_it_is_raised() -> None:
    still_running = asyncio.Event()

    async def project(entries: Sequence[Entry]) -> None:
        if entries[0].event.key == "alice":
            raise Fault("out of order")
        try:
            await asyncio.sleep(3600)
        finally:
            still_running.set()

    route = Route(project, lambda entry: entry.event.key, together=True)
    settler = a_settler(Graves(), ManualClock())
    with pytest.raises(Fault, match="out of order"):
        await settler.settle(follows(("bob", "alice"), ("bob", "zoe")), route)
    assert still_running.is_set()


async def test_no_more_groups_than_allowed_are_in_work_at_a_time() -> None:
    working = 0
    most = 0

    async def project(_: Sequence[Entry]) -> None:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0)
        working -= 1

    route = Route(project, lambda entry: entry.event.key, together=True)
    settler = a_settler(Graves(), ManualClock())
    await settler.settle(follows(*(("bob", f"user-{n}") for n in range(100))), route)
    assert most == 32


async def test_a_dead_letter_names_its_origin_and_its_reason() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob", "bob"), a_follow("carl", "bob"))
        ((origin, reason),) = await pipeline.dead_letters()
        assert origin.startswith(f"{GRAPH}/")
        assert reason == "Rejected: nobody follows oneself"
        assert await pipeline.followers("bob") == ["carl"]
