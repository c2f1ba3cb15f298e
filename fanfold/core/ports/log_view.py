"""The log as an operator sees it: what waits for the workers, and what is in it.

Adapters: `fanfold.adapters.kafka.log_view` (real) and `fanfold.adapters.sqlite.log_view` (embedded), with one contract suite for both.
Nothing here joins the workers' group or changes the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fanfold.core.lag import PartitionLag
from fanfold.core.ports.log import Record


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the workers. `commands` are unacknowledged records of the commands' topic; all of them if `all_commands`."""

    lags: tuple[PartitionLag, ...]
    dead_letters: int
    commands: tuple[Record, ...]
    all_commands: bool


class Span(NamedTuple):
    """Offsets of one partition: from `first`, and before `end`. Some of them may hold no record."""

    first: int
    end: int


class LogView(Protocol):
    """A view of the log. It may be asked again after it has raised `Unavailable`."""

    name: str
    """The log's name in what a person reads."""
    replays: bool
    """Whether `fanfold dead-letters replay` reaches this log."""

    async def backlog(self, *, most_commands: int) -> Backlog:
        """Every partition that the workers consume, in order, with at most about this many commands. Raises `Unavailable`."""
        ...

    async def spans(self, topic: str, *, until_ms: int | None = None) -> dict[int, Span]:
        """What each partition of the topic holds; with `until_ms`, of what was appended until then. Raises `Unavailable`."""
        ...

    async def records(self, topic: str, spans: Mapping[int, Span]) -> list[Record]:
        """The records in these spans, in order within a partition. Records that the log has deleted are missing. Raises `Unavailable`."""
        ...
