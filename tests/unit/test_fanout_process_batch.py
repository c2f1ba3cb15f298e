from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest
from prometheus_client import REGISTRY

from fanfold.core.errors import Fault, Rejected, Unavailable
from fanfold.core.events import GRAPH, GraphEvent, UserFollowed
from fanfold.core.ports.log import Record
from fanout_service.dead_letter_limit import source_of
from fanout_service.process_batch import BatchProcessor, Project, Route
from fanout_service.recorded_event import RecordedEvent
from tests.support.clock import ManualClock
from tests.support.fanout import a_follow, a_pipeline, a_record


@dataclass
class Projection:
    """Fails by follower: once with each of the errors, then no more."""

    failures: dict[str, list[Exception]] = field(default_factory=dict)
    groups: list[list[str]] = field(default_factory=list)

    async def project(self, group: Sequence[RecordedEvent[GraphEvent]]) -> None:
        await asyncio.sleep(0)
        followers = [event.follower_id for _, event in group if isinstance(event, UserFollowed)]
        self.groups.append(followers)
        for follower in followers:
            if self.failures.get(follower):
                raise self.failures[follower].pop(0)

    def route(self) -> Route[GraphEvent]:
        return a_route(self.project)


def a_route(project: Project[GraphEvent]) -> Route[GraphEvent]:
    return Route(get_args(GraphEvent), project, lambda recorded: recorded.event.key)


class DeadLetters:
    """The part of a log that processing needs."""

    def __init__(self, failures: Sequence[Exception] = ()) -> None:
        self.dead: list[tuple[int, str]] = []
        self._failures = list(failures)

    async def dead_letter(self, record: Record, reason: str) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.dead.append((record.offset, reason))


def a_processor(log: Any, clock: ManualClock, *, limit: int = 100) -> BatchProcessor:
    return BatchProcessor(
        log=log,
        clock=clock,
        retry_budget_s=45,
        dead_letter_limit=limit,
        max_clock_skew_s=2,
        chance=lambda: 1.0,
    )


def follows(*pairs: tuple[str, str]) -> list[Record]:
    return [a_record(a_follow(*pair), offset=offset) for offset, pair in enumerate(pairs)]


async def test_events_of_one_key_are_handled_as_one_group_in_order() -> None:
    projection = Projection()
    records = follows(("bob", "alice"), ("carl", "zoe"), ("dave", "alice"))
    await a_processor(DeadLetters(), ManualClock()).process(records, projection.route())
    assert sorted(projection.groups) == [["bob", "dave"], ["carl"]]


async def test_a_retry_repeats_only_the_group_that_failed() -> None:
    projection = Projection({"carl": [Unavailable("away"), Unavailable("away")]})
    clock = ManualClock(autojump=True)
    records = follows(("bob", "alice"), ("carl", "zoe"))
    await a_processor(DeadLetters(), clock).process(records, projection.route())
    assert projection.groups.count(["bob"]) == 1
    assert projection.groups.count(["carl"]) == 3
    assert clock.slept_s == [0.05, 0.1]


async def test_a_store_that_stays_unavailable_is_a_fault_when_the_budget_is_spent() -> None:
    projection = Projection({"bob": [Unavailable("away")] * 1000})
    clock = ManualClock(autojump=True)
    with pytest.raises(Fault, match="45"):
        await a_processor(DeadLetters(), clock).process(
            follows(("bob", "alice")), projection.route()
        )
    assert 39 <= clock.monotonic_s() <= 45
    assert max(clock.slept_s) == 5


async def test_a_rejected_event_is_dead_lettered_and_the_others_are_projected() -> None:
    projection = Projection({"carl": [Rejected("no such thing")] * 2})
    dead_letters = DeadLetters()
    records = follows(("bob", "alice"), ("carl", "alice"), ("dave", "alice"))
    await a_processor(dead_letters, ManualClock()).process(records, projection.route())
    assert dead_letters.dead == [(1, "Rejected: no such thing")]
    assert projection.groups[1:] == [["bob"], ["carl"], ["dave"]]


async def test_a_bug_makes_a_dead_letter_with_its_name_and_is_logged_with_its_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    projection = Projection({"bob": [ZeroDivisionError("oh")]})
    dead_letters = DeadLetters()
    await a_processor(dead_letters, ManualClock()).process(
        follows(("bob", "alice")), projection.route()
    )
    assert dead_letters.dead == [(0, "ZeroDivisionError: oh")]
    assert any(record.exc_info for record in caplog.records)


async def test_a_dead_letter_that_cannot_be_appended_is_retried() -> None:
    dead_letters = DeadLetters(failures=[Unavailable("log away")])
    projection = Projection({"bob": [Rejected("no")]})
    clock = ManualClock(autojump=True)
    await a_processor(dead_letters, clock).process(follows(("bob", "alice")), projection.route())
    assert dead_letters.dead == [(0, "Rejected: no")]


async def test_a_dead_letter_that_is_too_large_for_the_log_is_kept_without_its_value() -> None:
    dead_letters = DeadLetters(failures=[Rejected("message too large")])
    projection = Projection({"bob": [Rejected("no" * 1000)]})
    await a_processor(dead_letters, ManualClock()).process(
        follows(("bob", "alice")), projection.route()
    )
    ((_, reason),) = dead_letters.dead
    assert reason.endswith("(value left out)")
    assert len(reason) < 1100


def from_source(record: Record, source: str | None) -> Record:
    headers = {name: value for name, value in record.headers.items() if name != "ce_source"}
    return replace(record, headers=headers | ({"ce_source": source.encode()} if source else {}))


def rejected_by_worker(*sources: str | None) -> list[Record]:
    """Records that no projection has to see."""
    return [
        from_source(a_record(a_follow("bob", "bob"), offset=offset), source)
        for offset, source in enumerate(sources)
    ]


def a_broken_projection() -> Projection:
    return Projection({"bob": [ZeroDivisionError("oh")] * 1000})


OWN = ("fanfold/graph_service", "fanfold/post_service", "fanfold/fanout_service")


async def test_too_many_dead_letters_in_a_row_stop_the_worker() -> None:
    dead_letters = DeadLetters()
    records = [from_source(record, OWN[0]) for record in follows(*[("bob", "alice")] * 4)]
    with pytest.raises(Fault, match="3 dead letters in a row"):
        await a_processor(dead_letters, ManualClock(), limit=3).process(
            records, a_broken_projection().route()
        )
    assert len(dead_letters.dead) == 3


async def test_a_worker_that_rejects_what_several_services_append_stops() -> None:
    dead_letters = DeadLetters()
    with pytest.raises(Fault, match="3 dead letters in a row"):
        await a_processor(dead_letters, ManualClock(), limit=3).process(
            rejected_by_worker(*OWN * 10), Projection().route()
        )
    assert (
        len(dead_letters.dead) == 5
    )  # 2 of each, and the sixth would be the fourth beyond one source


@pytest.mark.parametrize("source", [None, "", "elsewhere", "fanfold", "fanfold/graph_service"])
async def test_garbage_of_one_source_stops_nobody(source: str | None) -> None:
    dead_letters = DeadLetters()
    garbage = [replace(record, value=b"{") for record in rejected_by_worker(*[source] * 101)]
    await a_processor(dead_letters, ManualClock()).process(garbage, Projection().route())
    assert len(dead_letters.dead) == 101


@pytest.mark.parametrize("source", [None, "elsewhere"])
async def test_foreign_records_that_trigger_a_bug_stop_nobody(source: str | None) -> None:
    dead_letters = DeadLetters()
    records = [from_source(record, source) for record in follows(*[("bob", "alice")] * 4)]
    processor = a_processor(dead_letters, ManualClock(), limit=3)
    await processor.process(records, a_broken_projection().route())
    assert len(dead_letters.dead) == 4


async def test_a_success_between_dead_letters_resets_their_count() -> None:
    dead_letters = DeadLetters()
    processor = a_processor(dead_letters, ManualClock(), limit=3)
    for _ in range(3):
        await processor.process(rejected_by_worker(*OWN), Projection().route())
        poison = [from_source(record, OWN[0]) for record in follows(("bob", "alice"))]
        await processor.process(poison, a_broken_projection().route())
        await processor.process(follows(("bob", "alice")), Projection().route())
    assert len(dead_letters.dead) == 12


@pytest.mark.parametrize(
    ("source", "label"),
    [
        *((f"fanfold/{name}", name) for name in ("post_service", "graph_service", "all-in-one")),
        ("fanfold/dead-letters", "own"),
        ("fanfold/\xff" + "x" * 100, "own"),
        ("test", "foreign"),
        ("", "none"),
        (None, "none"),
    ],
)
async def test_dead_letters_are_counted_by_source_and_cause(source: str | None, label: str) -> None:
    def counted(cause: str) -> float:
        labels = {"source": label, "cause": cause}
        return REGISTRY.get_sample_value("fanfold_fanout_dead_letters_total", labels) or 0

    causes = ("rejected", "undecodable", "unexpected")
    before = [counted(cause) for cause in causes]
    rejected = rejected_by_worker(source)
    undecodable = [replace(record, value=b"{") for record in rejected]
    unexpected = [from_source(record, source) for record in follows(("bob", "alice"))]
    processor = a_processor(DeadLetters(), ManualClock())
    await processor.process([*rejected, *undecodable, *unexpected], a_broken_projection().route())
    assert [counted(cause) for cause in causes] == [count + 1 for count in before]


async def test_a_record_without_the_cloudevents_version_has_no_source() -> None:
    (record,) = rejected_by_worker("fanfold/post_service")
    headers = {name: value for name, value in record.headers.items() if name != "ce_specversion"}
    assert source_of(record) == "post_service"
    assert source_of(replace(record, headers=headers)) == "none"


async def test_a_fault_in_one_group_stops_the_others_before_it_is_raised() -> None:
    still_running = asyncio.Event()

    async def project(group: Sequence[RecordedEvent[GraphEvent]]) -> None:
        if group[0].event.key == "alice":
            raise Fault("out of order")
        try:
            await asyncio.sleep(3600)
        finally:
            still_running.set()

    route = a_route(project)
    processor = a_processor(DeadLetters(), ManualClock())
    with pytest.raises(Fault, match="out of order"):
        await processor.process(follows(("bob", "alice"), ("bob", "zoe")), route)
    assert still_running.is_set()


async def test_at_most_256_groups_are_projected_at_a_time() -> None:
    working = 0
    most = 0

    async def project(_: Sequence[RecordedEvent[GraphEvent]]) -> None:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0)
        working -= 1

    route = a_route(project)
    processor = a_processor(DeadLetters(), ManualClock())
    await processor.process(follows(*(("bob", f"user-{n}") for n in range(400))), route)
    assert most == 256


async def test_a_dead_letter_names_its_origin_and_its_reason() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob", "bob"), a_follow("carl", "bob"))
        ((origin, reason),) = await pipeline.dead_letters()
        assert origin.startswith(f"{GRAPH}/")
        assert reason == "Rejected: nobody follows oneself"
        assert await pipeline.followers("bob") == ["carl"]
