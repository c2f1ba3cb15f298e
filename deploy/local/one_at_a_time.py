"""`make up` and `make down` run one at a time in a directory, and end in the same way."""

from __future__ import annotations

import fcntl
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from fanfold.core.errors import FanfoldError, Fault
from fanfold.core.exit_codes import ExitCode

STOPPED_S = 90.0
"""Longer than supervisord waits for an engine before it kills it."""
SUPERVISOR_ANSWERS_S = 10.0

console = Console(highlight=False)
errors = Console(highlight=False, stderr=True)


def run_alone(home: Path, work: Callable[[], None], name: str, *, interrupted: str) -> None:
    """Do the work while no other process does. Exits with `FAILED` and the reason if it fails, with `INTERRUPTED` on Ctrl-C."""
    # SupervisorTransport sets no timeout of its own.
    socket.setdefaulttimeout(SUPERVISOR_ANSWERS_S)
    try:
        with _locked(home):
            work()
    except FanfoldError as error:
        errors.print(f"{name}: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(ExitCode.FAILED)
    except KeyboardInterrupt:
        console.print(f"Interrupted; {interrupted}")
        sys.exit(ExitCode.INTERRUPTED)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the directory's lock; wait while another process holds it."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (home / "lock").open("w")
    except OSError as error:
        raise Fault(
            f"{home} can't be the system's directory ({error.strerror}); choose another with DATA=…"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
