"""`fanfold activity sweep`: only users who have not read for long fall asleep."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from fanfold.adapters import stacks as engines
from fanfold.core.errors import Unavailable
from fanfold.core.events import ACTIVITY, UserFellAsleep, UserLeft, UserWoke
from fanfold.core.lag import PartitionLag
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import MS_PER_DAY, Settings
from fanfold.ops.activity import room_for_sleepers
from fanfold.ops.command_line import app
from fanout_service.sweep_activity import BATCH, SweepActivity, Swept
from tests.support.clock import START_MS, ManualClock
from tests.support.fanout import Pipeline, a_follow, a_pipeline, a_post, an_unfollow, at
from tests.support.feed import FaultyStore
from tests.support.sleeping import a_sleep, an_awakening, found_by

ACTIVE = 30 * MS_PER_DAY


def a_sweep(pipeline: Pipeline, **how: Any) -> SweepActivity:
    parts: dict[str, Any] = {
        "stores": pipeline.stores,
        "log": pipeline.log,
        "clock": pipeline.clock,
        "active_ms": ACTIVE,
    }
    return SweepActivity(**(parts | how))


async def swept(pipeline: Pipeline, *, dry_run: bool = False, **how: Any) -> Swept:
    counts = Swept()
    await a_sweep(pipeline, **how).run(counts, dry_run=dry_run)
    return counts


async def put_to_sleep(pipeline: Pipeline) -> list[str]:
    rows = await pipeline.log.rows([ACTIVITY], after=0, limit=10_000)
    events = [row.record.event() for row in rows]
    return sorted(event.user_id for event in events if isinstance(event, UserFellAsleep))


async def read(pipeline: Pipeline, user: str, *, days_ago: float) -> None:
    at_ms = pipeline.clock.now_ms() - int(days_ago * MS_PER_DAY)
    await pipeline.stores.activity.note_reads({user: at_ms})


async def test_only_users_who_have_not_read_for_long_fall_asleep() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_follow(name) for name in ("bob", "carl", "dave", "erin")))
        pipeline.clock.advance(100 * 24 * 3600)
        await read(pipeline, "bob", days_ago=29.9)
        await read(pipeline, "carl", days_ago=30.1)
        await read(pipeline, "dave", days_ago=90)
        await read(pipeline, "dave", days_ago=1)
        assert await swept(pipeline) == Swept(users=4, asleep=0, fell_asleep=2)
        assert await put_to_sleep(pipeline) == ["carl", "erin"], "erin never read"


async def test_a_user_who_never_read_is_as_inactive_as_the_oldest_follow_is_old() -> None:
    async with a_pipeline() as pipeline:
        old = at(START_MS - ACTIVE - 1)
        await pipeline.handle(
            a_follow("bob"),
            a_follow("bob", "zoe").model_copy(update={"followed_at": old}),
            a_follow("carl"),
            a_follow("dave").model_copy(update={"followed_at": old}),
            an_unfollow("dave"),
        )
        await swept(pipeline)
        assert await put_to_sleep(pipeline) == ["bob"], "to dave nothing is delivered"


async def test_users_who_left_and_sleeping_users_are_skipped() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_follow(name) for name in ("bob", "carl")), a_sleep("bob"))
        await pipeline.stores.users.leave("carl", offset=9)
        pipeline.clock.advance(31 * 24 * 3600)
        assert await swept(pipeline) == Swept(users=2, asleep=2, fell_asleep=0)
        assert await put_to_sleep(pipeline) == ["bob"], "once, before"


async def test_a_repeated_sweep_puts_no_user_to_sleep_again() -> None:
    async with a_pipeline() as pipeline:
        names = [f"reader-{n}" for n in range(5)]
        await pipeline.handle(*(a_follow(name) for name in names))
        pipeline.clock.advance(31 * 24 * 3600)
        assert (await swept(pipeline)).fell_asleep == 5
        # Also before the worker has come to it: then twice is as good as once.
        assert (await swept(pipeline)).fell_asleep == 5
        await pipeline.drain()
        assert await swept(pipeline) == Swept(users=5, asleep=5, fell_asleep=0)
        await pipeline.handle(*(an_awakening(name) for name in names))
        assert not any([(await pipeline.user(name)).asleep for name in names])
        for name in names:
            await read(pipeline, name, days_ago=0)
        assert await swept(pipeline) == Swept(users=5, asleep=0, fell_asleep=0)


async def test_a_dry_run_counts_and_appends_nothing() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"))
        pipeline.clock.advance(31 * 24 * 3600)
        assert (await swept(pipeline, dry_run=True)).fell_asleep == 1
        assert await put_to_sleep(pipeline) == []


async def test_a_sweep_respects_its_rate() -> None:
    async with a_pipeline() as pipeline:
        count = 2 * BATCH + 50
        await pipeline.handle(*(a_follow(f"reader-{n}") for n in range(count)))
        pipeline.clock.advance(31 * 24 * 3600)
        began_s, shown = pipeline.clock.monotonic_s(), []
        await swept(pipeline, rate=25, show=lambda counts: shown.append(counts.users))
        assert pipeline.clock.monotonic_s() - began_s == pytest.approx(count / 25)
        assert shown == [BATCH, 2 * BATCH, count]
        assert len(await put_to_sleep(pipeline)) == count


async def test_a_user_put_to_sleep_by_a_sweep_misses_no_post() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"))
        pipeline.clock.advance(31 * 24 * 3600)
        await swept(pipeline)
        await pipeline.drain()
        post = a_post(ms=pipeline.clock.now_ms())
        await pipeline.handle(post)
        assert await pipeline.timeline("bob") == []
        assert await found_by(pipeline.stores, "bob") == {post.post_id}


async def test_a_repeating_sweep_starts_over_soon_after_an_outage() -> None:
    async with a_pipeline(clock=ManualClock()) as pipeline:
        door = FaultyStore(pipeline.stores.activity)
        door.away.add("last_reads")
        await pipeline.handle(a_follow("bob"))
        sweep = a_sweep(pipeline, stores=replace(pipeline.stores, activity=door))
        task = asyncio.create_task(sweep.sweep_forever(3600, first_after_s=10))
        clock = pipeline.clock

        async def until_asleep() -> None:
            while not clock.sleeping:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)

        await until_asleep()
        assert not door.calls
        for seconds, calls in ((10, 1), (60, 2), (3600, 3)):
            clock.advance(seconds)
            await until_asleep()
            assert door.calls["last_reads"] == calls
            door.away.clear()
        task.cancel()


async def test_an_interrupted_sweep_goes_on_behind_the_users_it_has_looked_at() -> None:
    async with a_pipeline() as pipeline:
        count = 3 * BATCH
        await pipeline.handle(*(a_follow(f"reader-{n:03}") for n in range(count)))
        pipeline.clock.advance(31 * 24 * 3600)

        async def no_more() -> None:
            if len(await put_to_sleep(pipeline)) >= 2 * BATCH:
                raise Unavailable("the log")

        with pytest.raises(Unavailable):
            await swept(pipeline, room=no_more)
        assert (await swept(pipeline)).users == BATCH
        assert len(await put_to_sleep(pipeline)) == count, "each once"
        assert (await swept(pipeline)).users == count, "the next one begins with the first"


async def test_a_sweep_is_spread_over_the_hours_that_it_is_given() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_follow(f"reader-{n:03}") for n in range(4 * BATCH)))
        await swept(pipeline, over_s=3600)
        began_s = pipeline.clock.monotonic_s()
        await swept(pipeline, over_s=3600)
        assert pipeline.clock.monotonic_s() - began_s == pytest.approx(3600, rel=0.01)


async def test_a_sweep_gives_way_while_sleepers_wait_for_the_workers() -> None:
    """Never more than two for each partition, on average, and the few that are appended at once."""
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_follow(f"reader-{n:03}") for n in range(BATCH)))
        pipeline.clock.advance(31 * 24 * 3600)
        highest = handled = 0

        async def lags() -> list[PartitionLag]:
            nonlocal handled
            waiting = len(await put_to_sleep(pipeline)) - handled
            # The worker handles three of them between two looks.
            handled += min(3, waiting)
            return [PartitionLag(ACTIVITY, n, 0, waiting if n == 0 else 0) for n in range(4)]

        async def room() -> None:
            nonlocal highest
            await room_for_sleepers(lags, pipeline.clock)
            highest = max(highest, len(await put_to_sleep(pipeline)) - handled)

        assert (await swept(pipeline, room=room)).fell_asleep == BATCH
        assert 0 < highest <= 2 * 4


# --- the command ---------------------------------------------------------------------------------------


class NothingWaits:
    """Stands in for the workers' group."""

    def __init__(self, *_: object) -> None:
        pass

    async def __aenter__(self) -> NothingWaits:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def lags(self) -> list[PartitionLag]:
        return [PartitionLag(ACTIVITY, 0, 0, 0)]


@pytest.fixture
def on_real_engines(monkeypatch: pytest.MonkeyPatch) -> list[Pipeline]:
    """Stands in for Kafka and Cassandra; a test fills in the pipeline."""
    held: list[Pipeline] = []

    @asynccontextmanager
    async def opened(*_: Any, **__: Any) -> AsyncIterator[Engines]:
        async with a_pipeline() as pipeline:
            held.append(pipeline)
            await pipeline.handle(a_follow("bob"), a_follow("carl"))
            await pipeline.stores.activity.note_reads({"carl": 2**42})
            yield Engines(pipeline.log, pipeline.stores)

    monkeypatch.setattr(engines, "real", opened)
    monkeypatch.setattr("fanfold.adapters.kafka.group.WorkerGroup", NothingWaits)
    monkeypatch.setenv("FANFOLD_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    return held


def test_the_command_reports_to_people_and_to_programs(
    on_real_engines: list[Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "fanfold.core.clock.SystemClock.now_ms", lambda _: START_MS + 31 * MS_PER_DAY
    )
    monkeypatch.setattr("fanfold.core.clock.SystemClock.sleep", ManualClock(autojump=True).sleep)
    asked = CliRunner().invoke(app, ["activity", "sweep", "--json", "--dry-run"])
    assert asked.exit_code == 0
    summary = json.loads(asked.stdout)
    assert summary.pop("seconds") >= 0
    assert summary == {
        "users": 2,
        "asleep": 0,
        "fell_asleep": 1,
        "active_days": 30,
        "dry_run": True,
        "finished": True,
    }
    shown = CliRunner().invoke(app, ["activity", "sweep"])
    assert "2 users looked at, 0 were asleep, 1 fall asleep" in shown.output.replace("\n", " ")


def test_options_that_do_not_go_together_are_refused() -> None:
    refused = CliRunner().invoke(app, ["activity", "sweep", "--dry-run", "--every", "24"])
    assert refused.exit_code == 1


def test_an_engine_that_stays_away_is_an_exit_status_of_its_own(
    on_real_engines: list[Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("no answer")

    monkeypatch.setattr(SweepActivity, "run", away)
    answer = CliRunner().invoke(app, ["activity", "sweep"])
    assert answer.exit_code == 75
    assert "goes on from there" in answer.output


def test_reads_are_noted_daily_so_nobody_may_fall_asleep_within_a_day() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        Settings(active_days=1)
    assert Settings().active_ms == ACTIVE
    assert {UserFellAsleep.topic, UserWoke.topic} == {ACTIVITY} != {UserLeft.topic}
