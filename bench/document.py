"""Writes the tables of `docs/performance.md` from the committed sample: `python -m bench.document`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench.report import markdown

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "bench" / "results" / "sample.json"
DOCUMENT = ROOT / "docs" / "performance.md"

_PART = re.compile(r"<!-- bench (?P<name>\w+) -->\n(?P<text>.*?)<!-- /bench -->\n", re.DOTALL)


def filled(text: str, sample: dict[str, Any]) -> str:
    """The document, with each marked part written from the sample."""
    parts = {section["section"]: _section(section) for section in sample["sections"]}
    parts["machine"] = _machine(sample)

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


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text(), json.loads(SAMPLE.read_text())))
