"""(a) The rate of one worker through the whole pipeline, compared with two bare programs that write the same rows."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field

from bench.child import Child, child
from bench.crowd import new_post, reader_id, seed_author
from bench.fan_outs import Fanned, WrongResult, fan_out
from bench.figures import Figure, figure, ratio, threshold
from bench.processes import Costs
from bench.report import Section
from bench.row_count import rows_in
from bench.stack import Bench, System, running

VISIBLE_WITHIN_S = 5.0
SINGLE_INSERTS = 10_000


@dataclass(frozen=True, slots=True)
class Case:
    """Posts by authors of one size, appended at once."""

    followers: int
    authors: int
    posts_each: int

    @property
    def names(self) -> list[str]:
        return [f"author-{self.followers}-{number:02}" for number in range(self.authors)]

    @property
    def posts(self) -> int:
        return self.authors * self.posts_each


FULL = (Case(1_000, 30, 6), Case(10_000, 6, 3), Case(90_000, 2, 1))
QUICK = (Case(1_000, 5, 2), Case(10_000, 1, 1), Case(20_000, 1, 1))


@dataclass(slots=True)
class Measured:
    """A case's rounds."""

    product: list[Fanned] = field(default_factory=list)
    of: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


async def deliveries(bench: Bench) -> Section:
    cases: tuple[Case, ...] = bench.pick(FULL, QUICK)
    settings = await bench.new_system()
    async with (
        running(bench, settings, "fanout_service") as system,
        child("bench.bare_writes", settings) as bare,
    ):
        await _seed(bench, system, cases)
        written = await _warm_up(bench, system, bare, cases)
        measured = {case: Measured() for case in cases}
        for number in range(bench.rounds):
            for case in cases:
                bench.say(f"round {number + 1} of {bench.rounds}: {case.followers:,} followers")
                written += await _round(bench, system, bare, case, measured[case])
        bench.say("counting rows")
        counted = await asyncio.to_thread(rows_in, settings, "user_timeline", "user_id")
        if counted != written:
            raise WrongResult(f"{counted:,} rows in user_timeline; {written:,} were delivered")
    return _section(measured, counted)


async def _seed(bench: Bench, system: System, cases: tuple[Case, ...]) -> None:
    for case in cases:
        bench.say(f"seeding {case.authors} authors of {case.followers:,} followers")
        readers = [reader_id(number) for number in range(case.followers)]
        for name in case.names:
            await seed_author(system.stores, name, readers, system.settings)


async def _warm_up(bench: Bench, system: System, bare: Child, cases: tuple[Case, ...]) -> int:
    """Warm up compilers and caches: a fresh JVM writes at a third of its later rate."""
    bench.say("warming up")
    rows = 0
    for _ in range(bench.pick(3, 1)):
        for case in cases:
            rows += await _round(bench, system, bare, case, Measured())
    return rows


async def _round(bench: Bench, system: System, bare: Child, case: Case, into: Measured) -> int:
    """All three variants, one after the other. Returns the number of rows that they added to the table."""
    now_ms = time.time_ns() // 1_000_000
    authors = case.names * case.posts_each
    pids = {**bench.engine_pids, "worker": system.pid("fanout_service")}
    posts = [new_post(author, now_ms=now_ms) for author in authors]
    fanned = await fan_out(system, posts, audience=case.followers, pids=pids)
    into.product.append(fanned)
    rows = fanned.rows
    singles = max(1, SINGLE_INSERTS // case.followers)
    few = min(case.followers, SINGLE_INSERTS)
    for how, names, followers in (
        ("batches", authors, case.followers),
        ("inserts", authors[:singles], few),
    ):
        before = Costs.now(bench.engine_pids)
        answer = await bare.ask(how=how, authors=names, followers=followers)
        server = Costs.now(bench.engine_pids).since(before).of["cassandra"]
        into.of[how].append(answer["rows"] / answer["elapsed_s"])
        into.of[f"{how} client"].append(answer["cpu_s"] / answer["rows"] * 1e6)
        into.of[f"{how} server"].append(server / answer["rows"] * 1e6)
        rows += answer["rows"]
    return rows


def _section(measured: dict[Case, Measured], counted: int) -> Section:
    section = Section(
        "a", "Deliveries: from the append of PostCreated to the last slice, one worker"
    )
    columns = {
        f"{case.posts} posts to {case.followers:,} followers": _figures(found)
        for case, found in measured.items()
    }
    for name in next(iter(columns.values())):
        section.rows.append(
            {"what": name, **{column: figures[name] for column, figures in columns.items()}}
        )
    slowest = min(figures["deliveries/s"].median for figures in columns.values())
    supported = threshold(slowest, VISIBLE_WITHIN_S)
    checked = f"Checked: every slice delivered to each follower; user_timeline holds exactly the {counted:,} rows"
    section.notes = [
        f"{checked} that the worker and the bare programs wrote.",
        f"T = {VISIBLE_WITHIN_S:.0f} s at {slowest:,.0f}/s, the slowest median: a threshold of {supported:,} followers.",
        f"One INSERT a row: {SINGLE_INSERTS:,} rows a round. Ratios are of the same round.",
    ]
    return section


def _figures(found: Measured) -> dict[str, Figure]:
    rates = [fanned.rows_per_s for fanned in found.product]
    return {
        "deliveries/s": figure(rates),
        "bare program, the same batches: rows/s": figure(found.of["batches"]),
        "share of the bare program": ratio(rates, found.of["batches"]),
        "one INSERT a row: rows/s": figure(found.of["inserts"]),
        "times one INSERT a row": ratio(rates, found.of["inserts"]),
        **{
            f"CPU a delivery, {name}: µs": figure([f.cpu_us_a_row(name) for f in found.product])
            for name in ("worker", "kafka", "cassandra")
        },
        "CPU a row, bare program: µs": figure(found.of["batches client"]),
        "CPU a row, Cassandra under it: µs": figure(found.of["batches server"]),
    }
