"""SIGTERM at any moment: the first process of a container has no default handler."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fanfold.core.exit_codes import ExitCode

STARTS_WITHIN_S = 30
STOPS_WITHIN_S = 10


@pytest.fixture
def silent_engine() -> Iterator[socket.socket]:
    """An engine that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(STARTS_WITHIN_S)
        yield listener


@pytest.mark.parametrize(
    "command",
    [
        "fanfold serve post",
        "fanfold serve graph",
        "fanfold serve fanout",
        "fanfold serve feed",
        "fanfold topics apply",
        "post_service",
    ],
)
def test_a_command_that_waits_for_an_engine_stops_on_sigterm(
    command: str, silent_engine: socket.socket
) -> None:
    port = silent_engine.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        env={
            **os.environ,  # noqa: TID251 - handed on
            "FANFOLD_KAFKA_BOOTSTRAP": f"127.0.0.1:{port}",
            "FANFOLD_CASSANDRA_PORT": str(port),
            "FANFOLD_PORT": "0",
        },
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        connection, _ = silent_engine.accept()
        with connection:
            process.terminate()
            _, said = process.communicate(timeout=STOPS_WITHIN_S)
    assert process.returncode == ExitCode.TERMINATED, said


def test_sigterm_is_handled_before_the_first_import_of_the_command_line() -> None:
    script = (
        "import signal, sys, fanfold.__main__ as entry;"
        "sys.modules['fanfold.ops.command_line'] = type(sys)('fanfold.ops.command_line');"
        "sys.modules['fanfold.ops.command_line'].main = lambda: signal.raise_signal(signal.SIGTERM);"
        "entry.main()"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], check=False).returncode
        == ExitCode.TERMINATED
    )
