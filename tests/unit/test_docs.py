"""The documents against the code: what they name exists, and what they list is what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from fanfold.adapters.cassandra.compare import PROJECTED
from fanfold.core.settings import Settings
from fanfold.ops.command_line import app
from tests.support.settings_table import IN_README, settings_table

ROOT = Path(__file__).parents[2]

# Variables that are read outside `Settings`: the tests choose their engines by it.
OUTSIDE_SETTINGS = {"FANFOLD_ENGINES"}

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_IN_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def documents() -> list[Path]:
    folders = ("docs", "schemas", "deploy", "services", "tests", "examples")
    below = [path for folder in folders for path in (ROOT / folder).rglob("*.md")]
    return sorted([*ROOT.glob("*.md"), *below])


DOCUMENTS = documents()


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_the_documents_are_found() -> None:
    names = {path.name for path in DOCUMENTS}
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= names


def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = _FENCED.sub("", document.read_text())
    targets = [*_LINK.findall(text), *re.findall(r'(?:src|srcset|href)="([^"]+)"', text)]
    broken = [
        target
        for target in targets
        if "://" not in target and not leads_somewhere(document, target)
    ]
    assert broken == []


def leads_somewhere(document: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = document if not path else (document.parent / path).resolve()
    if not file.exists():
        return False
    return not anchor or anchor in anchors(file)


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = _HEADING.findall(_FENCED.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_make_target_named_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):(?!=)", makefile, re.MULTILINE))
    named = {
        name for code in code_in(document) for name in re.findall(r"\bmake ([a-z][a-z0-9-]*)", code)
    }
    assert named <= targets


def test_every_fanfold_command_named_exists(document: Path) -> None:
    # A command stands at the start of a line or of a piece of code, perhaps after a prompt.
    named = {
        " ".join(words.split())
        for code in code_in(document)
        for words in re.findall(r"^(?:\$ )?fanfold((?: [a-z][a-z-]*)+)", code, re.MULTILINE)
    }
    assert {name for name in named if not is_command(name)} == set()


def is_command(words: str) -> bool:
    """Whether the words begin with a command; arguments may follow it."""
    return any(words == name or words.startswith(name + " ") for name in known_commands())


@cache
def known_commands() -> set[str]:
    return set(commands(typer.main.get_command(app)))


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    subcommands: dict[str, object] = getattr(command, "commands", {})
    if not subcommands:
        yield " ".join(path)
    for name, subcommand in subcommands.items():
        yield from commands(subcommand, (*path, name))


def code_in(document: Path) -> list[str]:
    """Fenced blocks and inline code, without their marks."""
    text = document.read_text()
    blocks = [block.split("\n", 1)[1].removesuffix("```") for block in _FENCED.findall(text)]
    inline = [
        " ".join(code.strip("`").split())
        for code in re.findall(r"`[^`]+`", _FENCED.sub("", text))
        if "\n\n" not in code
    ]
    return blocks + inline


def test_every_variable_named_is_a_setting(document: Path) -> None:
    settings = {f"FANFOLD_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"\bFANFOLD_[A-Z0-9_]*[A-Z0-9]", document.read_text()))
    assert named <= settings | OUTSIDE_SETTINGS


def test_the_configuration_table_is_the_settings() -> None:
    assert IN_README.read() == settings_table(), (
        "write it with: python -m tests.support.settings_table"
    )


def test_the_runbook_names_every_table_that_is_no_projection() -> None:
    ddl = "".join(path.read_text() for path in (ROOT / "schemas/cassandra").glob("*.cql"))
    tables = set(re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+)", ddl, re.MULTILINE))
    [exceptions] = re.findall(
        r"The exceptions are (.+?)\. After", (ROOT / "docs/runbooks/replay.md").read_text()
    )
    # Two are projections that nobody compares: they hold when work was done.
    projections = {*PROJECTED, "fanout_slices", "newly_pulled"}
    assert set(re.findall(r"`(\w+)`", exceptions)) == tables - projections


def test_every_file_named_exists(document: Path) -> None:
    named = {
        name
        for code in _IN_CODE.findall(_FENCED.sub("", document.read_text()))
        for name in re.findall(
            # Not within a longer path, as in /opt/fanfold/bin.
            r"(?<!\w/)\b(?:tests|docs|schemas|deploy|services|fanfold|scripts|requirements)/[\w./-]+",
            code,
        )
    }
    assert {name for name in named if not (ROOT / name.rstrip(".")).exists()} == set()


def test_every_test_named_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = {
        name for path in DOCUMENTS for name in re.findall(r"\btest_\w+\b(?!\.py)", path.read_text())
    }
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    unknown = {name for name in named - modules if f"def {name}(" not in tests}
    assert unknown == set()


def test_every_step_of_the_walks_names_what_is_in_its_file() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    walks = text.split("<!-- walks -->")[1].split("<!-- /walks -->")[0]
    steps = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", walks, re.MULTILINE)
    assert len(steps) > 30
    missing = [
        (file, name)
        for file, names in steps
        for name in names.split(".")
        if not re.search(
            rf"^\s*(async def|def|class) {name}\b", (ROOT / file).read_text(), re.MULTILINE
        )
    ]
    assert missing == []


def test_every_pain_has_its_tests() -> None:
    text = (ROOT / "docs" / "pains.md").read_text()
    table = text.split("<!-- pains -->")[1].split("<!-- /pains -->")[0]
    rows = [row.split("|") for row in table.strip().splitlines()[2:]]
    assert len(rows) >= 29
    assert [int(row[1]) for row in rows] == list(range(1, len(rows) + 1))
    # That those named are there, the tests above see to.
    assert [row[1] for row in rows if not re.search(r"`(test_\w+|tests/[\w/]+\.py)`", row[4])] == []


def test_every_guarantee_has_its_tests() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    table = text.split("<!-- guarantees -->")[1].split("<!-- /guarantees -->")[0]
    rows = [row.split("|") for row in table.strip().splitlines()[2:]]
    assert [int(row[1]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 18
    # That those named are there, the tests above see to.
    assert [row[1] for row in rows if not re.search(r"`(test_\w+|tests/[\w/]+\.py)`", row[4])] == []


def test_every_risk_of_the_owasp_api_top_ten_has_its_tests() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    table = text.split("<!-- owasp -->")[1].split("<!-- /owasp -->")[0]
    rows = [row.split("|") for row in table.strip().splitlines()[2:]]
    assert [row[1].strip() for row in rows] == [f"API{number}" for number in range(1, 11)]
    assert [row[1] for row in rows if not re.search(r"`(test_\w+|tests/[\w/]+\.py)`", row[4])] == []


def test_every_decision_is_in_the_index_and_fits_on_a_page() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    decisions = sorted(path for path in folder.glob("[0-9]*.md"))
    listed = [int(number) for number in re.findall(r"^\| (\d+) \|", index, re.MULTILINE)]
    assert listed == sorted(listed), "the index is in the order of the numbers"
    # A number may be missing: several decisions are prepared at the same time.
    assert len({path.name[:4] for path in decisions}) == len(decisions) >= 46
    for path in decisions:
        text = path.read_text()
        assert f"]({path.name})" in index, path.name
        assert "* Status: " in text, path.name
        assert "## What would change our mind" in text, path.name
        assert len(text.splitlines()) <= 60, path.name
