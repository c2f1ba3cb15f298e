"""Who may read settings, and what a laptop's `make run` never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND_LINE = "fanfold/ops/installation.py"
HEAVY = {"aiokafka", "cassandra", "faust", "mode"}
EMBEDDED_STACK = ("all_in_one.__main__", "fanfold.ops.command_line")


def product_modules() -> Iterator[Path]:
    for package in ("fanfold", "services"):
        yield from (ROOT / package).rglob("*.py")


def reads_settings(module: Path) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Settings"
        for node in ast.walk(ast.parse(module.read_text()))
    )


def test_only_composition_roots_read_settings() -> None:
    readers = {module for module in product_modules() if reads_settings(module)}
    assert readers, "the search finds no reader at all, so it proves nothing"
    allowed = {ROOT / COMMAND_LINE, *(module for module in readers if module.name == "__main__.py")}
    assert [str(reader.relative_to(ROOT)) for reader in readers - allowed] == []
    assert ROOT / COMMAND_LINE in readers


def test_the_embedded_stack_loads_no_engine_driver() -> None:
    script = f"import sys, {', '.join(EMBEDDED_STACK)}; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert HEAVY.intersection(loaded) == set()
    assert set(EMBEDDED_STACK) <= set(loaded)
