"""The summary of an import, for programs and for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from fanfold.ops.graph_import.checkpoint import Counts
from fanfold.ops.graph_import.rejects import Rejects

_GROUPED_FROM = 10_000
_GROUPED = 4


def summary_of(
    path: Path, counts: Counts, rejects: Rejects, *, dry_run: bool, finished: bool
) -> dict[str, Any]:
    """What `--json` prints."""
    kept = rejects.path if counts.rejected else None
    return {
        "file": str(path),
        "finished": finished,
        "dry_run": dry_run,
        "lines": counts.lines,
        "edges": counts.edges,
        "appended": counts.appended,
        "registered": counts.registered,
        "rejected": counts.rejected,
        "rejected_lines": str(kept) if kept else None,
        "seconds": round(counts.seconds, 3),
        "rate": round(counts.edges / counts.seconds) if counts.seconds else 0,
    }


def print_summary(
    console: Console, counts: Counts, rejects: Rejects, summary: dict[str, Any]
) -> None:
    """Print the same, with the first rejected lines, and advice for a list that costs the worker more than it must."""
    dry_run = summary["dry_run"]
    follows = (
        f"{counts.edges:,} follows valid" if dry_run else f"{counts.appended:,} follows appended"
    )
    console.print(
        f"{counts.lines:,} lines read, {follows}, {counts.registered:,} users registered,"
        f" {counts.rejected:,} lines rejected; {summary['seconds']:,} s, {summary['rate']:,}/s",
        soft_wrap=True,
    )
    for line, wrong in rejects.first:
        console.print(f"  line {line.number:,}: {wrong.why}", soft_wrap=True, markup=False)
    if summary["rejected_lines"]:
        console.print(f"All rejected lines: {summary['rejected_lines']}", soft_wrap=True)
    if counts.edges >= _GROUPED_FROM and counts.edges < _GROUPED * counts.followee_runs:
        console.print(
            "A list sorted by followee costs the worker less: see docs/importing-a-graph.md",
            soft_wrap=True,
        )
