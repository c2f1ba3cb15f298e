"""Which modules read settings and make Kafka clients, and what `make run` never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
KAFKA_CLIENTS = "fanfold/adapters/kafka/clients.py"
COMMAND_LINE = "fanfold/ops/installation.py"
READING = "fanfold/core/read_settings.py"
HEAVY = {"aiokafka", "cassandra", "faust", "hiredis", "mode"}
EMBEDDED_STACK = ("all_in_one.__main__", "fanfold.ops.command_line")


def product_modules() -> Iterator[Path]:
    for package in ("fanfold", "services"):
        yield from (ROOT / package).rglob("*.py")


def calls(module: Path, *names: str) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
        for node in ast.walk(ast.parse(module.read_text()))
    )


def test_only_composition_roots_read_settings() -> None:
    readers = {
        module for module in product_modules() if calls(module, "Settings", "read_settings")
    } - {ROOT / READING}
    assert readers, "the search finds no reader at all, so it proves nothing"
    allowed = {ROOT / COMMAND_LINE, *(module for module in readers if module.name == "__main__.py")}
    assert [str(reader.relative_to(ROOT)) for reader in readers - allowed] == []
    assert ROOT / COMMAND_LINE in readers


def test_kafka_clients_are_made_in_one_place() -> None:
    makers = [
        str(module.relative_to(ROOT))
        for module in product_modules()
        if calls(module, "AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient")
    ]
    assert makers == [KAFKA_CLIENTS]


def test_the_embedded_stack_loads_no_engine_driver() -> None:
    script = f"import sys, {', '.join(EMBEDDED_STACK)}; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert HEAVY.intersection(loaded) == set()
    assert set(EMBEDDED_STACK) <= set(loaded)
