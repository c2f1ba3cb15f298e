"""An event or a change that a place forgot to decide is a type error there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECKED = ("fanfold/core", "fanfold/http", "services/fanout_service", "services/feed_service")

A_CHANGE = '''

class UserPinged(NamedTuple):
    """A change that nothing reacts to yet."""

    user_id: str

    @property
    def cell(self) -> None:
        return None


'''
AN_EVENT = '''

class UserWasPinged(_UsersEvent):
    """An event that nothing handles yet."""

    def changes(self) -> tuple[UserPinged]:
        return (UserPinged(self.user_id),)
'''
A_COMMAND = '''

class PingUser(_Command):
    """A command that nothing handles yet."""

    user_id: UserId

    @property
    def key(self) -> str:
        return self.user_id
'''


def places_in_error(checkout: Path) -> set[tuple[str, str]]:
    """(file, function) of each error, all of which must be about a value that a place doesn't decide."""
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *CHECKED],
        cwd=checkout,
        env={"PYTHONPATH": f"{checkout}:{checkout / 'services'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(
        r'^(\S+?):(\d+): error: Argument 1 to "(?:assert_never|_check_command)"',
        checked.stdout,
        re.MULTILINE,
    )
    assert checked.stdout.count(": error:") == len(found), checked.stdout + checked.stderr
    return {(file, function_at(checkout / file, int(line))) for file, line in found}


def function_at(module: Path, line: int) -> str:
    above = module.read_text().splitlines()[:line]
    return next(
        m[1] for text in reversed(above) if (m := re.match(r"\s*(?:async )?def (\w+)", text))
    )


def insert(checkout: Path, module: str, before: str, text: str) -> None:
    path = checkout / "fanfold/core/events" / module
    source = path.read_text()
    assert source.count(before) == 1, f"{before!r} in {module}"
    path.write_text(source.replace(before, text + before))


def test_a_new_event_a_new_command_and_a_new_kind_of_change_are_type_errors_until_decided(
    tmp_path: Path,
) -> None:
    """In one run of mypy, because it takes seconds."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    # What `make static` has found out about all that stays the same: most of the time, if it ran.
    if (found := ROOT / ".mypy_cache").exists():
        shutil.copytree(found, tmp_path / ".mypy_cache")
    for package in ("fanfold", "services", "deploy"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    insert(tmp_path, "changes.py", "\nChange = (\n", A_CHANGE)
    insert(tmp_path, "changes.py", "    | PostChanged\n", "    | UserPinged\n")
    insert(tmp_path, "users.py", "    AwakeningBegun,\n", "    UserPinged,\n")
    insert(tmp_path, "users.py", "\n\nclass UserLeft(", AN_EVENT)
    insert(tmp_path, "catalogue.py", "    UserRegistered,\n", "    UserWasPinged,\n")
    insert(tmp_path, "catalogue.py", "UserRegistered | UserLeft", "UserWasPinged | ")
    insert(tmp_path, "commands.py", "\n\nclass EndFollowing(", A_COMMAND)
    insert(tmp_path, "catalogue.py", "    ReviewDelivery,\n", "    PingUser,\n")
    insert(tmp_path, "catalogue.py", "    | ReviewDelivery\n", "    | PingUser\n")

    event = {
        ("services/fanout_service/recorded_event.py", "_check_fields"),
        ("services/fanout_service/follows.py", "project"),
    }
    command = {
        ("services/fanout_service/recorded_event.py", "_check_command"),
        ("services/fanout_service/worker.py", "_project_commands"),
        ("services/fanout_service/worker.py", "_command_group"),
    }
    change = {
        ("fanfold/http/after_writes.py", "shows"),
        ("fanfold/http/positions.py", "_text"),
        ("services/feed_service/caches/changed_keys.py", "_keys"),
    }
    assert places_in_error(tmp_path) == event | command | change
