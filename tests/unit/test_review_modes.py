"""`fanfold modes apply`: only the authors that a changed threshold concerns are reviewed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fanfold.adapters import stacks as engines
from fanfold.core.errors import Unavailable
from fanfold.core.events import COMMANDS, GRAPH, AuthorModeChanged, ReviewDelivery
from fanfold.core.ports import User
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.ops.command_line import app
from fanfold.ops.modes import BATCH, Reviewed, ReviewModes
from fanfold.ops.progress import showing
from tests.support.clock import ManualClock
from tests.support.fanout import SMALL, Pipeline, a_follow, a_pipeline

FANS = {"nova": 5, "star": 4, "comet": 3, "bob": 1}
TEN = SMALL.model_copy(update={"pull_threshold": 10})


async def reviewed(pipeline: Pipeline, settings: Settings, *, dry_run: bool = False) -> Reviewed:
    counts = Reviewed()
    await ReviewModes(
        stores=pipeline.stores,
        log=pipeline.log,
        clock=pipeline.clock,
        pull_threshold=settings.pull_threshold,
        pull_hysteresis=settings.pull_hysteresis,
        show=lambda _: None,
    ).run(counts, dry_run=dry_run)
    return counts


async def asked(pipeline: Pipeline) -> set[str]:
    rows = await pipeline.log.rows([COMMANDS], after=0, limit=10_000)
    events = [row.record.event() for row in rows]
    return {event.author_id for event in events if isinstance(event, ReviewDelivery)}


async def sides(pipeline: Pipeline) -> dict[str, str]:
    return {name: (await pipeline.user(name)).delivery for name in FANS}


async def populated(pipeline: Pipeline) -> None:
    for author, fans in FANS.items():
        await pipeline.handle(*(a_follow(f"fan-{n}", author) for n in range(fans)))


async def test_a_lower_threshold_moves_those_above_it_to_pull() -> None:
    async with a_pipeline(TEN) as pipeline:
        await populated(pipeline)
        pipeline.settings = TEN.model_copy(update={"pull_threshold": 4})
        counts = await reviewed(pipeline, pipeline.settings)
        assert (counts.users, counts.to_pull, counts.to_push) == (len(FANS), 2, 0)
        assert await asked(pipeline) == {"nova", "star"}
        await pipeline.drain()
        assert await sides(pipeline) == {
            "nova": "pull",
            "star": "pull",
            "comet": "push",
            "bob": "push",
        }


async def test_a_higher_threshold_moves_those_below_its_hysteresis_back_to_push() -> None:
    async with a_pipeline(SMALL) as pipeline:
        await populated(pipeline)
        pipeline.settings = SMALL.model_copy(update={"pull_threshold": 6})
        counts = await reviewed(pipeline, pipeline.settings)  # 80 % are 4.8
        assert (counts.to_pull, counts.to_push) == (0, 2)
        await pipeline.drain()
        assert await sides(pipeline) == {
            "nova": "pull",
            "star": "push",
            "comet": "push",
            "bob": "push",
        }


async def test_a_second_review_requests_nothing_and_emits_no_crossing() -> None:
    async with a_pipeline(SMALL) as pipeline:
        await populated(pipeline)
        pipeline.settings = TEN
        await reviewed(pipeline, TEN)
        await reviewed(pipeline, TEN)  # before the worker got to it: asked twice, judged once
        await pipeline.drain()
        rows = await pipeline.log.rows([GRAPH], after=0, limit=10_000)
        back = [
            event.author_id
            for row in rows
            if isinstance(event := row.record.event(), AuthorModeChanged)
            if event.delivery == "push"
        ]
        assert sorted(back) == ["comet", "nova", "star"]
        counts = await reviewed(pipeline, TEN)
        assert (counts.to_pull, counts.to_push) == (0, 0)


async def test_a_dry_run_counts_and_appends_nothing() -> None:
    async with a_pipeline(SMALL) as pipeline:
        await populated(pipeline)
        counts = await reviewed(pipeline, TEN, dry_run=True)
        assert counts.to_push == 3
        assert await asked(pipeline) == set()


async def test_a_review_requests_all_authors_of_several_batches() -> None:
    async with a_pipeline(SMALL) as pipeline:
        authors = {f"author-{n}" for n in range(2 * BATCH + 1)}
        for author in authors:
            standing = User(author, follower_count=3)
            await pipeline.stores.users.write_follower_count(standing, offset=1)
        counts = await reviewed(pipeline, SMALL)
        assert (counts.users, counts.to_pull) == (len(authors), len(authors))
        assert await asked(pipeline) == authors


def real_engines(monkeypatch: pytest.MonkeyPatch, *, away: bool = False) -> None:
    @asynccontextmanager
    async def opened(*_: Any, **__: Any) -> AsyncIterator[Engines]:
        async with a_pipeline(SMALL) as pipeline:
            await populated(pipeline)
            if away:

                async def refuse(_: Any) -> None:
                    raise Unavailable("Kafka is away")

                pipeline.log.append_many = refuse  # type: ignore[method-assign,assignment]
            yield Engines(pipeline.log, pipeline.stores)

    monkeypatch.setattr(engines, "real", opened)
    monkeypatch.setenv("FANFOLD_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("FANFOLD_PULL_THRESHOLD", "4")
    monkeypatch.setenv("FANFOLD_PULL_HYSTERESIS", "1")


def test_the_command_prints_a_summary_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    real_engines(monkeypatch)
    done = CliRunner().invoke(app, ["modes", "apply", "--json", "--dry-run"])
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary.pop("seconds") >= 0
    assert summary == {
        "users": 4,
        "to_push": 1,
        "to_pull": 0,
        "pull_threshold": 4,
        "pull_hysteresis": 1.0,
        "dry_run": True,
        "finished": True,
    }


def test_the_command_says_when_an_engine_stayed_away(monkeypatch: pytest.MonkeyPatch) -> None:
    real_engines(monkeypatch, away=True)
    done = CliRunner().invoke(app, ["modes", "apply", "--json"])
    assert done.exit_code == 75
    assert json.loads(done.stdout)["finished"] is False


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_and_off_one(terminal: bool) -> None:
    out, clock = StringIO(), ManualClock()
    console = Console(file=out, force_terminal=terminal, width=100)
    with showing(console, clock, Reviewed()) as show:
        for users in (500, 1000, 1500):
            clock.advance(4)
            show(Reviewed(users=users))
    shown = out.getvalue()
    assert terminal or shown == "1,000 users looked at, 0 go to pull, 0 to push\n"
    assert not terminal or "users looked at" in shown
