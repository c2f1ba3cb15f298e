"""`python -m fanfold`, and the `fanfold` command. Its first act is to let itself be stopped.

The first process of a container has no default signal handlers: a SIGTERM that it does not handle is dropped by the
kernel, and what sent it waits for its whole grace, then kills. The imports behind the command take about a second.
"""

from __future__ import annotations

import signal
from types import FrameType

TERMINATED = 128 + signal.SIGTERM
"""The exit status of what SIGTERM ended before it was done: what a shell shows for it."""


def main() -> None:
    """Run the command of the arguments. SIGTERM ends it with `TERMINATED`, until a service stops in its own way."""
    signal.signal(signal.SIGTERM, _leave)
    from fanfold.ops import cli

    cli.main()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


if __name__ == "__main__":
    main()
