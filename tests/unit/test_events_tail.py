"""`fanfold events tail` as a process, beside the process that writes the embedded log."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.clock import SystemClock
from fanfold.core.data_format import LOG_FILE
from fanfold.core.errors import Fault
from fanfold.ops.command_line import app
from tests.support.logs import a_follow, everything, followers


def a_log(path: Path) -> SqliteLog:
    return SqliteLog(path / LOG_FILE, clock=SystemClock(), source="test")


async def test_any_program_reads_the_embedded_log_while_it_is_written(tmp_path: Path) -> None:
    """And its open transaction keeps no append waiting."""
    async with a_log(tmp_path) as log:
        await log.append(a_follow(by="u0"))
        address = f"file:{tmp_path / LOG_FILE}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=0)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT COUNT(*) FROM records").fetchall() == [(1,)]
            await log.append(a_follow(by="u1"))
            assert reader.execute("SELECT COUNT(*) FROM records").fetchall() == [(1,)]
            reader.execute("COMMIT")
            assert reader.execute("SELECT COUNT(*) FROM records").fetchall() == [(2,)]
        assert followers(await everything(log, 2)) == ["u0", "u1"]


def _heed_ctrl_c() -> None:
    """A suite that runs in the background of a shell ignores Ctrl-C, and its children would too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.slow
async def test_it_follows_another_process_until_ctrl_c_which_is_a_clean_end(tmp_path: Path) -> None:
    async with a_log(tmp_path) as log:
        await log.append(a_follow(by="u0"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fanfold", "events", "tail", "--from", "beginning"),
            *("--data", str(tmp_path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_heed_ctrl_c,
        )
        assert process.stdout is not None
        assert b'UserFollowed bob {"follower_id":"u0"' in await process.stdout.readline()
        await log.append(a_follow(by="u1"))
        assert b'"follower_id":"u1"' in await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()
    assert (process.returncode, output, errors) == (0, b"", b"2 events\n")


@pytest.mark.slow
async def test_it_ends_quietly_when_the_reader_of_its_pipe_has_enough(tmp_path: Path) -> None:
    async with a_log(tmp_path) as log:
        await log.append_many([a_follow(by=f"u{n}") for n in range(2000)])
        process = await asyncio.create_subprocess_shell(
            f"set -o pipefail; {sys.executable} -m fanfold events tail --from beginning --data {tmp_path} | head -n 1",
            executable="/bin/bash",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
    assert (process.returncode, output.count(b"\n"), errors) == (0, 1, b"")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--from", "yesterday"), "neither beginning, end, an offset nor a time"),
        (("--from", "2026-11-21T03:10:00"), "add Z for UTC"),
        (("--topic", "likes.v1"), "is no topic: choose of posts.v1"),
    ],
)
def test_a_wrong_option_says_what_to_change(options: tuple[str, str], says: str) -> None:
    done = CliRunner().invoke(app, ["events", "tail", *options], env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert says in done.output


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_text("not a database, but long enough to be taken for one" * 50)
    done = CliRunner().invoke(app, ["events", "tail", "--data", str(tmp_path)])
    assert isinstance(done.exception, Fault)
    assert "can't be read as a log" in str(done.exception)
