"""The contracts of pyproject.toml hold, and every one of them can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

# A contract, a module of the product, and the line that breaks the contract there.
VIOLATIONS = (
    ("layers", "services/feed_service/__init__.py", "import post_service"),
    ("layers", "services/feed_service/__init__.py", "import console_service.page"),
    ("layers", "fanfold/core/clock.py", "import graph_service"),
    ("layers", "fanfold/core/clock.py", "import fanfold.http.auth"),
    ("layers", "fanfold/core/clock.py", "import fanfold.adapters.tls"),
    ("layers", "fanfold/http/auth.py", "import fanfold.adapters.tls"),
    ("layers", "services/all_in_one/__init__.py", "import fanfold.ops.command_line"),
    ("layers", "services/graph_service/__init__.py", "import fanfold.ops.graph_import.importer"),
    ("layers", "fanfold/ops/__init__.py", "import fanfold.__main__"),
    ("cassandra", "services/feed_service/__init__.py", "import cassandra.cluster"),
    ("kafka", "services/post_service/__init__.py", "import aiokafka"),
    ("redis", "services/feed_service/__init__.py", "import hiredis"),
    ("opentelemetry", "fanfold/core/__init__.py", "import opentelemetry.trace"),
    ("faust", "services/fanout_service/__init__.py", "import faust"),
    ("adapters", "services/post_service/__init__.py", "import fanfold.adapters.memory"),
    (
        "cycles",
        "fanfold/core/ids.py",
        "import fanfold.core.ports, fanfold.core.ports.log, fanfold.core.events",
    ),
    ("pure", "fanfold/core/buckets.py", "import fanfold.adapters.sqlite.log"),
)


def contracts() -> list[str]:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [contract["id"] for contract in declared["tool"]["importlinter"]["contracts"]]


def lint_imports(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo", *arguments],
        cwd=checkout,
        env={"PYTHONPATH": f"{checkout}:{checkout / 'services'}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy_of_the_product(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("fanfold", "services"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def test_the_import_contracts_hold() -> None:
    linted = lint_imports(ROOT)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_every_contract_has_an_import_that_breaks_it() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == set(contracts())


@pytest.mark.parametrize(("contract", "module", "line"), VIOLATIONS)
def test_a_contract_fails_when_an_import_breaks_it(
    contract: str, module: str, line: str, copy_of_the_product: Path
) -> None:
    with (copy_of_the_product / module).open("a") as source:
        source.write(f"\n{line}\n")

    linted = lint_imports(copy_of_the_product, "--contract", contract)

    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert "BROKEN" in linted.stdout
