"""The log as an operator sees it: what waits for the workers.

Adapters: `fanfold.adapters.kafka.log_view` (real) and `fanfold.adapters.sqlite.log_view` (embedded), with one contract suite for both.
Nothing here joins the workers' group or changes the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fanfold.core.lag import PartitionLag
from fanfold.core.ports.log import Record


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the workers. `commands` are unacknowledged records of the commands' topic; all of them if `all_commands`."""

    lags: tuple[PartitionLag, ...]
    dead_letters: int
    commands: tuple[Record, ...]
    all_commands: bool


class LogView(Protocol):
    """A view of the log. It may be asked again after it has raised `Unavailable`."""

    name: str
    """The log's name in what a person reads."""

    async def backlog(self, *, most_commands: int) -> Backlog:
        """Every partition that the workers consume, in order, with at most about so many commands. Raises `Unavailable`."""
        ...
