"""The command line as a whole: its help, its exit statuses, and the page that describes both."""

from __future__ import annotations

import json
import re
from collections.abc import Coroutine
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fanfold.core.errors import Fault
from fanfold.core.exit_codes import MEANINGS, ExitCode
from fanfold.core.settings import Settings
from fanfold.ops import command_line
from fanfold.ops.installation import local_settings, settings_of, why_cut_short
from fanfold.ops.run import Ended
from tests.unit.test_docs import ROOT, commands

PAGE = ROOT / "docs" / "command-line.md"


def test_the_page_has_every_exit_status_with_its_meaning() -> None:
    table = PAGE.read_text().split("<!-- exit codes -->")[1].split("<!-- /exit codes -->")[0]
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE))
    assert rows == {str(int(code)): MEANINGS[code] for code in ExitCode}


def test_the_page_lists_every_command() -> None:
    listed = set(re.findall(r"^\| `fanfold ([a-z -]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert listed == set(commands(typer.main.get_command(command_line.app)))


def test_the_help_lists_every_exit_status() -> None:
    shown = CliRunner().invoke(command_line.app, ["--help"], env={"COLUMNS": "200"}).output
    for code in ExitCode:
        assert re.search(rf"\b{code:d} {re.escape(MEANINGS[code][:12])}", shown), shown


def test_an_expected_failure_is_one_line_and_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*, standalone_mode: bool) -> None:
        raise Fault("stop all workers first")

    monkeypatch.setattr(command_line, "app", fails)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == ExitCode.FAILED
    assert capsys.readouterr().err == "fanfold: stop all workers first\n"


def test_a_command_uses_the_local_system_unless_the_environment_names_a_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings_of(tmp_path) == Settings()
    described = {"settings": {"kafka_bootstrap": "127.0.0.1:7"}, "anything": "else"}
    (tmp_path / "system.json").write_text(json.dumps(described))
    assert settings_of(tmp_path).kafka_bootstrap == "127.0.0.1:7"
    monkeypatch.setenv("FANFOLD_KAFKA_BOOTSTRAP", "elsewhere:9")
    assert settings_of(tmp_path).kafka_bootstrap == "elsewhere:9"


@pytest.mark.parametrize(
    "arguments",
    [["events", "tail"], ["explain", "alice", "019ad2c4-2f40-7a31-8f5e-3d1b0c9e7a55"], ["audit"]],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_found_no_system_says_how_to_name_one(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_answers(work: Coroutine[None, None, None]) -> Ended:
        work.close()
        return Ended(ExitCode.TRY_AGAIN, "Kafka is away")

    for module in ("events", "explain", "audit.command"):
        monkeypatch.setattr(f"fanfold.ops.{module}.run", nothing_answers)

    def shown() -> str:
        ended = CliRunner().invoke(command_line.app, [*arguments, "--data", str(tmp_path)])
        assert ended.exit_code == ExitCode.TRY_AGAIN
        return " ".join(ended.output.split())

    assert "Kafka is away; nothing names another: --data is the directory of" in shown()
    monkeypatch.setenv("FANFOLD_KAFKA_BOOTSTRAP", "elsewhere:9")
    assert shown().endswith("Kafka is away")
    monkeypatch.delenv("FANFOLD_KAFKA_BOOTSTRAP")
    (tmp_path / "system.json").write_text("{}")
    assert shown().endswith("Kafka is away")


def test_an_interrupted_command_says_only_that(tmp_path: Path) -> None:
    assert why_cut_short(Ended(ExitCode.INTERRUPTED, "interrupted"), tmp_path) == "interrupted"


def test_a_broken_description_of_the_local_system_says_what_writes_it_again(tmp_path: Path) -> None:
    (tmp_path / "system.json").write_text("{}")
    with pytest.raises(Fault, match="make up"):
        local_settings(tmp_path)
