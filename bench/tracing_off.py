"""(t) Traces that are off: the CPU of a feed, with the hooks for traces and by a build without them."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from bench.child import Child, child
from bench.feed_cpu import PATHS
from bench.figures import figure, ratio
from bench.report import Section
from bench.stack import Bench
from fanfold.core.settings import Settings

PAIRS_OF_A_ROUND = 30
FEEDS = 100
COUNTED = 5
COUNTINGS = 12


async def tracing_off(bench: Bench) -> Section:
    found: dict[tuple[str, bool], list[float]] = defaultdict(list)
    async with (
        child("bench.feed_cpu", Settings()) as hooked,
        child("bench.feed_cpu", Settings()) as bare,
    ):
        both = {False: hooked, True: bare}
        for without, process in both.items():
            await process.ask(without_hooks=without)
        for number in range(bench.rounds):
            bench.say(f"round {number + 1} of {bench.rounds}")
            pairs: dict[tuple[str, bool], list[float]] = defaultdict(list)
            for pair in range(bench.pick(PAIRS_OF_A_ROUND, 2)):
                for what in PATHS:
                    # They take turns, and each is first equally often: this machine changes its pace within a second.
                    for without in (False, True) if pair % 2 else (True, False):
                        answer = await both[without].ask(what=what, feeds=FEEDS)
                        pairs[what, without].append(float(answer["found"]))
            for key, spent in pairs.items():
                found[key].append(median(spent))
        counted = {
            (what, without): await _counted(process, what)
            for what in PATHS
            for without, process in both.items()
        }
    return _section(found, counted)


async def _counted(process: Child, what: str) -> float:
    """The least of several counts: in some of them the process also does its periodic work."""
    answers = [await process.ask(what=what, feeds=COUNTED, counted=True) for _ in range(COUNTINGS)]
    return min(float(answer["found"]) for answer in answers)


def _section(
    found: dict[tuple[str, bool], list[float]], counted: dict[tuple[str, bool], float]
) -> Section:
    section = Section("t", "Traces that are off: a feed with the hooks, and without them")
    for what in PATHS:
        spent = {f"{what}: CPU, µs": (found[what, False], found[what, True])}
        instructions = [counted[what, False]], [counted[what, True]]
        for name, (hooked, bare) in {**spent, f"{what}: instructions": instructions}.items():
            section.rows.append(
                {
                    "what": name,
                    "as it is": figure(hooked),
                    "without the hooks": figure(bare),
                    "ratio": f"{ratio(hooked, bare).median:.4f}",
                }
            )
    section.notes = [
        "One process each, on the embedded stack with the demo, the two in turn: a feed of few posts, so that the hooks are a large share of it.",
        "CPU of the process, so feeds/s of a busy core are the inverse; two processes alike differ by some hundredths beside other work.",
        "Instructions are those of the interpreter of Python. Unlike CPU time they hardly depend on what else runs.",
        "OTEL_* is unset. FastAPI's own spans are in both, switched off.",
    ]
    return section
