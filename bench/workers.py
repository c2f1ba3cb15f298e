"""(w) One, two and four workers: the rate of each kind of event, and what all of them together spend on it."""

from __future__ import annotations

from collections.abc import Mapping

from bench.common_events import QUICK, CommonEvents, Size
from bench.figures import figure, ratio
from bench.report import Cell, Section
from bench.stack import Bench, running

WORKERS = (1, 2, 4)
FULL = Size(4_000, 2_000, (800, 300), 400, 20, 200, 300, 100)

Found = Mapping[str, Mapping[str, list[float]]]


async def workers(bench: Bench) -> Section:
    found = {number: await _with(bench, number) for number in WORKERS}
    section = Section("w", "One, two and four workers: events a second, and the CPU of all workers")
    for what in found[1]:
        row: dict[str, Cell] = {"what": what}
        kinds = {number: found[number][what] for number in WORKERS}
        for number, kind in kinds.items():
            row[_workers(number)] = figure(kind["a second"]) if "a second" in kind else ""
        for number in WORKERS[1:]:
            times = "a second" in kinds[number]
            row[f"{_workers(number)}: times one"] = (
                ratio(kinds[number]["a second"], kinds[1]["a second"]) if times else ""
            )
        for number, kind in kinds.items():
            row[f"CPU an event, {_workers(number)}: ms"] = figure(kind["CPU, worker: ms"])
        section.rows.append(row)
    section.notes = [
        "A backlog of one kind at a time, as in section (i), whose checks are these too.",
        "The three ran one after the other, each on topics and tables of its own, so their ratios are not of the same minute.",
        "All workers, Kafka and Cassandra share this machine's cores, so more workers than cores can't do more here.",
    ]
    return section


async def _with(bench: Bench, number: int) -> Found:
    bench.say(_workers(number))
    size: Size = bench.pick(FULL, QUICK)
    settings = await bench.new_system()
    async with running(bench, settings, "fanout_service", workers=number) as system:
        events = CommonEvents(bench, system, size, bare=None)
        await events.measured()
    return events.found


def _workers(number: int) -> str:
    return "1 worker" if number == 1 else f"{number} workers"
