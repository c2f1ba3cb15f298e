"""`make up` and `make down` run one at a time in a directory, and end in the same way."""

from __future__ import annotations

import fcntl
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from fanfold.core.errors import FanfoldError
from fanfold.core.exit_codes import ExitCode

STOPPED_S = 90.0
"""Longer than supervisord waits for an engine before it kills it."""
SUPERVISOR_ANSWERS_S = 10.0

console = Console(highlight=False)


def run_alone(home: Path, work: Callable[[], None], name: str, *, interrupted: str) -> None:
    """Do the work while no other process does. Exits with `FAILED` and the reason if it fails, with `INTERRUPTED` on Ctrl-C."""
    # SupervisorTransport sets no timeout of its own.
    socket.setdefaulttimeout(SUPERVISOR_ANSWERS_S)
    try:
        with _locked(home):
            work()
    except FanfoldError as error:
        console.print(f"{name}: {error}", style="red", markup=False)
        sys.exit(ExitCode.FAILED)
    except KeyboardInterrupt:
        console.print(f"Interrupted; {interrupted}")
        sys.exit(ExitCode.INTERRUPTED)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the directory's lock; wait while another process holds it."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
