"""What `make up` and `make down` share: one of them at a time for a directory, and how they end."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from fanfold.core.errors import FanfoldError

STOPPED_S = 90.0
"""More than what supervisord grants an engine before it kills it."""

console = Console(highlight=False)


def in_one_go(home: Path, work: Callable[[], None], name: str, *, interrupted: str) -> None:
    """Do the work alone. Exits with 1 and the reason where it fails, with 130 where the user interrupts it."""
    try:
        with _alone(home):
            work()
    except FanfoldError as error:
        console.print(f"{name}: {error}", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print(f"Interrupted; {interrupted}")
        sys.exit(130)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """The second waits."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
