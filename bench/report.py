"""A section's results, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Figure, number

Cell = Figure | float | int | str


@dataclass(slots=True)
class Section:
    """Rows of a table; every row has the same columns. A note limits what a number means."""

    letter: str
    title: str
    rows: list[dict[str, Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    load: tuple[float, ...] = ()

    def json(self) -> dict[str, Any]:
        return {
            "section": self.letter,
            "title": self.title,
            "rows": [{name: _json(cell) for name, cell in row.items()} for row in self.rows],
            "notes": self.notes,
            "load_before": list(self.load),
        }


def show(section: Section, console: Console) -> None:
    table = Table(title=f"({section.letter}) {section.title}", title_justify="left", expand=False)
    for name in section.rows[0] if section.rows else ():
        table.add_column(name, justify="left" if name == "what" else "right", overflow="fold")
    for row in section.rows:
        table.add_row(*(_text(cell) for cell in row.values()))
    console.print(table)
    for note in section.notes:
        console.print(f"  {note}", highlight=False, soft_wrap=True)
    console.print()


def write(path: Path, facts: dict[str, Any], sections: list[Section]) -> None:
    """One file for each run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {**facts, "sections": [section.json() for section in sections]}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def markdown(section: dict[str, Any]) -> str:
    """A section of a results file as a Markdown table."""
    rows = section["rows"]
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(_markdown(row[name]) for name in names)} |" for row in rows]
    return "\n".join(lines)


def _markdown(cell: Any) -> str:
    if isinstance(cell, dict):
        return str(Figure(tuple(cell["rounds"])))
    return number(cell) if isinstance(cell, int | float) else str(cell)


def _json(cell: Cell) -> Any:
    return cell.json() if isinstance(cell, Figure) else cell


def _text(cell: Cell) -> str:
    return number(cell) if isinstance(cell, int | float) else str(cell)
