"""`python -m fanfold`, and the `fanfold` command. It handles SIGTERM first.

The first process of a container has no default signal handlers: the kernel drops a SIGTERM that the process does not handle, so
the container runtime waits for the whole grace period and then kills it. The imports of the commands take about a second.
"""

from __future__ import annotations

import signal
from types import FrameType

from fanfold.core.exit_codes import ExitCode


def main() -> None:
    """Run the command of the arguments. SIGTERM ends it with `TERMINATED`; a service that runs handles the signal itself."""
    signal.signal(signal.SIGTERM, _leave)
    from fanfold.ops import command_line

    command_line.main()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.TERMINATED)


if __name__ == "__main__":
    main()
