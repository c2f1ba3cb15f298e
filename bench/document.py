"""Writes the tables of `docs/performance.md` from the committed samples: `python -m bench.document`.

`sample.json` is one run of several sections. `reads.json` and `worker.json`, if they are there, are later runs of some sections: `make bench ONLY=r SAMPLE=reads` writes
both the first and the document.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench.report import markdown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
SAMPLE, READS, WORKER = (RESULTS / f"{name}.json" for name in ("sample", "reads", "worker"))
DOCUMENT = ROOT / "docs" / "performance.md"

_PART = re.compile(r"<!-- bench (?P<name>\w+) -->\n(?P<text>.*?)<!-- /bench -->\n", re.DOTALL)


def samples() -> list[dict[str, Any]]:
    """Those that are committed."""
    return [json.loads(path.read_text()) for path in (SAMPLE, READS, WORKER) if path.exists()]


def filled(text: str, sample: dict[str, Any], *others: dict[str, Any]) -> str:
    """The document, with each marked part written from the last sample that has it. The first section of another sample says on which machine it was measured."""
    parts = {section["section"]: _section(section) for section in sample["sections"]}
    parts["machine"] = _machine(sample)
    for other in others:
        first, *rest = other["sections"]
        about = f"\nMeasured in a run of its own:\n\n{_machine(other)}"
        parts[first["section"]] = _section(first) + about
        same = f"\nMeasured in the same run as: {first['title']}.\n"
        parts |= {section["section"]: _section(section) + same for section in rest}

    def part(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- bench {name} -->\n{parts.get(name, _MISSING)}<!-- /bench -->\n"

    return _PART.sub(part, text)


_MISSING = "Not in this sample.\n"


def _section(section: dict[str, Any]) -> str:
    notes = "\n".join(f"* {note}" for note in section["notes"])
    load = ", ".join(str(average) for average in section["load_before"])
    return f"{section['title']}. Load before (1, 5, 15 minutes): {load}.\n\n{markdown(section)}\n\n{notes}\n"


def _machine(sample: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {release}" for name, release in sample["packages"].items())
    engines = "; ".join(f"{name}: {how}" for name, how in sample["engines_configuration"].items())
    lines = [
        f"{sample['cores']} cores ({sample['cpu']}), {sample['memory_gib']} GiB, kernel {sample['kernel']}, one machine for all of it",
        f"Python {sample['python']}, {versions}",
        f"{', '.join(sample['engines'])}; {engines}",
        f"commit {sample['commit']}{' with changes' if sample['changed_since_commit'] else ''}, at {sample['at']}",
        f"load before: {', '.join(str(average) for average in sample['load_before'])}",
    ]
    return "\n".join(f"* {line}" for line in lines) + "\n"


def write() -> None:
    """Write the document."""
    DOCUMENT.write_text(filled(DOCUMENT.read_text(), *samples()))


if __name__ == "__main__":
    write()
