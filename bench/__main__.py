"""`python -m bench`: start the engines, measure section after section, print tables and keep the results as JSON."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from bench import document
from bench.engines import configuration, engines_to_measure
from bench.machine import facts
from bench.report import Section, show, write
from bench.stack import Bench
from tests.support.engines import RealEngines

RESULTS = Path(__file__).parent / "results"
SECTIONS = {
    "a": "deliveries",
    "b": "feed_reads",
    "g": "open_world",
    "h": "others_writes",
    "p": "http_writes",
    "r": "read_targets",
    "c": "visibility",
    "f": "two_workers",
    "s": "simulated",
    "i": "common_events",
    "w": "workers",
    "k": "broker",
    "t": "tracing_off",
    "j": "edge",
    "d": "growth",
    # Last, because they restart Cassandra, and a fresh Cassandra is slow.
    "u": "churn",
    "e": "storage",
}
WITHOUT_ENGINES = {"j"}
# What it measures, other sections measure too, with more beside it.
BY_ITSELF = "r"
Measure = Callable[[Bench], Awaitable[Section]]


def main() -> None:
    chosen = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 200)
    about = {**facts(), "engines_configuration": configuration(), "quick": chosen.quick}
    console.print(f"load before: {about['load_before']}; {about['cores']} cores", highlight=False)
    if about["load_before"][0] > 0.5:
        console.print("[yellow]This machine is busy: the figures will be worse than it can do.[/]")
    pair = engines_to_measure()
    try:
        with tempfile.TemporaryDirectory(prefix="fanfold-bench-") as directory:
            if set(chosen.only) - WITHOUT_ENGINES:
                console.print("starting Kafka and Cassandra")
                _start(pair)
            bench = Bench(
                engines=pair,
                directory=Path(directory),
                rounds=chosen.rounds,
                quick=chosen.quick,
                say=_Progress(console),
            )
            uvloop.run(_measure(bench, chosen.only, chosen.sample, console, about))
    finally:
        for node in (pair.kafka, pair.cassandra):
            node.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        default="".join(SECTIONS).replace(BY_ITSELF, ""),
        help="sections, such as `a` or `abf`",
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: figures mean nothing")
    parser.add_argument("--rounds", type=int, default=0, help="3 by default; 1 of a smoke run")
    parser.add_argument(
        "--sample",
        default="",
        choices=["", "sample", "reads", "worker"],
        help="keep the results as this sample, and write docs/performance.md from it",
    )
    chosen = parser.parse_args()
    if unknown := set(chosen.only) - set(SECTIONS):
        parser.error(
            f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}"
        )
    if chosen.quick and chosen.sample:
        parser.error("a smoke run is no sample")
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 3)
    return chosen


def _start(pair: RealEngines) -> None:
    for node in (pair.kafka, pair.cassandra):
        node.launch()
    for node in (pair.kafka, pair.cassandra):
        node.wait()


async def _measure(
    bench: Bench, only: str, sample: str, console: Console, about: dict[str, Any]
) -> None:
    path = RESULTS / f"{sample or f'{datetime.now(UTC):%Y%m%dT%H%M%SZ}'}.json"
    sections: list[Section] = []
    for letter, name in SECTIONS.items():
        if letter not in only:
            continue
        console.rule(f"({letter}) {name.replace('_', ' ')}")
        measure: Measure = getattr(importlib.import_module(f"bench.{name}"), name)
        load = os.getloadavg()
        section = await measure(bench)
        section.load = tuple(round(average, 2) for average in load)
        sections.append(section)
        show(section, console)
        # After each section, so that an interrupted run keeps its results.
        await asyncio.to_thread(write, path, about, sections)
        gc.collect()
    console.print(f"written to {path.relative_to(Path.cwd())}", highlight=False)
    if sample:
        await asyncio.to_thread(document.write)
        console.print("docs/performance.md has it")


class _Progress:
    """Prints a line for each step, with the time since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started_s = time.monotonic()

    def __call__(self, text: str) -> None:
        passed_s = time.monotonic() - self._started_s
        self._console.print(f"[dim]{passed_s:6.0f} s  {text}[/]", highlight=False)


if __name__ == "__main__":
    main()
