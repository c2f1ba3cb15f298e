"""The exit statuses of every process: commands, services, and `make up` and `make down`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """What a process tells its caller. `MEANINGS` says it in words."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SOME_REJECTED = 3
    TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
    INTERRUPTED = 130  # 128 + SIGINT, as a shell shows it
    TERMINATED = 143  # 128 + SIGTERM


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done; of `fanfold status` and `fanfold top --once`: healthy",
    ExitCode.FAILED: "refused or failed, and the message says what to change; of `fanfold status` and `fanfold top --once`: not healthy; of `fanfold explain` and `fanfold audit`: a feed is wrong; of `fanfold compare`: the tables differ",
    ExitCode.USAGE: "an option or argument is wrong",
    ExitCode.SOME_REJECTED: "done, but some lines of the input were rejected",
    ExitCode.TRY_AGAIN: "an engine stayed away: run the same command again; a worker that exits with it must be restarted",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C: the same command goes on, or starts over",
    ExitCode.TERMINATED: "stopped by SIGTERM before it was done",
}
