"""`fanfold events tail`: shows events of the log, or of a snapshot and then the log, from any point on, on either stack."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import orjson
import typer

from fanfold.core.clock import Clock, SystemClock, rfc3339
from fanfold.core.events import PUBLIC_TOPICS, event_name
from fanfold.core.exit_codes import ExitCode
from fanfold.core.ports.log import Record, Tail
from fanfold.core.topics import load_topics
from fanfold.ops.installation import embedded_log, settings_of, why_cut_short
from fanfold.ops.options import DEFAULT_DATA, DataOfEither, complain, console
from fanfold.ops.run import run
from fanfold.ops.snapshot.command import opened_spans, snapshot
from fanfold.ops.snapshot.form import Head, read_head, read_records
from fanfold.ops.snapshot.make import refuse_gap

app = typer.Typer(no_args_is_help=True, help="The events of the log.")
app.command()(snapshot)

_NEVER_MS = 2**62
"""Later than any record: a tail that starts there starts at the end."""
_ROUNDED_S = 0.005
"""More than the difference of two clocks of which one has whole milliseconds."""


class Start(NamedTuple):
    """Where a tail begins: at the first record that was appended at or after that time, and has that offset or a higher one.

    `first_offsets` has other offsets for some partitions.
    """

    since_ms: int = 0
    first_offset: int = 0
    first_offsets: Mapping[tuple[str, int], int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records are shown: None means any."""

    key: str | None = None
    type: str | None = None
    limit: int | None = None

    def __contains__(self, record: Record) -> bool:
        names = (_header(record, "ce_type"), event_name(record.headers))
        return (self.type is None or self.type in names) and (
            self.key is None or (record.key or b"").decode(errors="replace") == self.key
        )


@app.callback()
def events() -> None:
    """The events of the log."""


@app.command()
def tail(  # noqa: PLR0917 - typer calls it by name
    topic: Annotated[
        list[str] | None,
        typer.Option(help="A topic, as posts.v1; repeatable. By default, all public ones."),
    ] = None,
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            help="`beginning`, `end`, a time as 2026-11-21T03:10:00Z, or an offset in each partition.",
        ),
    ] = "end",
    from_snapshot: Annotated[
        Path | None,
        typer.Option(
            help="Begin with the snapshot in this directory, and go on in the log where it ends."
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only records with this key.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only this event, as UserFollowed.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after this many events.", min=1)] = None,
    follow: Annotated[bool, typer.Option(help="Wait for more at the end of the log.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON document for each event, on a line of its own.")
    ] = False,
    data: DataOfEither = DEFAULT_DATA,
) -> None:
    """Show events as they are in the log, then new ones as they come, until Ctrl-C. Changes nothing, and joins no group.

    Reads the log of `make run DATA=` in that directory, or else the Kafka that the other commands use. Exits with 0, by Ctrl-C too,
    or with 75 when Kafka stayed away.
    """
    topics, start, chosen = _topics(topic), _start(from_), Chosen(key, type_, limit)
    head = None if from_snapshot is None else _head(from_snapshot, from_, topics)
    show = _as_json if as_json else _as_line
    shown = 0

    async def work() -> None:
        nonlocal shown
        clock = SystemClock()
        if from_snapshot and head:
            records = read_from_snapshot(from_snapshot, head, data, topics, clock, follow=follow)
        else:
            records = read(data, topics, start, clock, follow=follow)
        async with aclosing(records), aclosing(only(records, chosen)) as wanted:
            async for record in wanted:
                sys.stdout.write(show(record))
                sys.stdout.flush()
                shown += 1

    try:
        ended = run(work())
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has enough. Python would complain of the same at its end.
        sys.stdout = None
        raise typer.Exit(ExitCode.DONE) from None
    if ended.status is ExitCode.TRY_AGAIN:
        complain(why_cut_short(ended, data))
        raise typer.Exit(ended.status)
    console.print(f"{shown:,} events")


async def read(
    data: Path, topics: Sequence[str], start: Start, clock: Clock, *, follow: bool
) -> AsyncGenerator[Record, None]:
    """The records of the log, in order within a partition. Without `follow`, ends at what was in it when it began. Raises `Unavailable`."""
    async with _opened(data, topics, start, clock) as log:
        began_s = clock.monotonic_s()
        while True:
            for record in await log.read():
                yield record
            if not follow and log.behind_s() + _ROUNDED_S < clock.monotonic_s() - began_s:
                return


async def read_from_snapshot(
    snapshot: Path, head: Head, data: Path, topics: Sequence[str], clock: Clock, *, follow: bool
) -> AsyncGenerator[Record, None]:
    """The records of the snapshot, then those of the log since. Raises `Unavailable`, and `Fault` where the log does not go on from there."""
    ends = head.ends()
    with opened_spans(data) as log:
        for topic in topics:
            for partition, span in (await log.spans(topic)).items():
                refuse_gap(topic, partition, ends.get((topic, partition), 0), span, snapshot)
    for record in read_records(snapshot, head, topics):
        yield record
    start = Start(first_offsets=ends)
    async with aclosing(read(data, topics, start, clock, follow=follow)) as since:
        async for record in since:
            yield record


async def only(records: AsyncIterator[Record], chosen: Chosen) -> AsyncGenerator[Record, None]:
    """The chosen ones."""
    left = chosen.limit
    async for record in records:
        if record in chosen:
            yield record
            left = None if left is None else left - 1
            if left == 0:
                return


def _head(snapshot: Path, from_: str, topics: Sequence[str]) -> Head:
    if from_ != "end":
        raise typer.BadParameter("give either --from or --from-snapshot")
    if private := set(topics) - set(PUBLIC_TOPICS):
        raise typer.BadParameter(f"{min(private)} is not public: a snapshot does not have it")
    if (head := read_head(snapshot)) is None:
        raise typer.BadParameter(
            f"{snapshot} has no snapshot: `fanfold events snapshot --into {snapshot}` makes one"
        )
    return head


def _opened(
    data: Path, topics: Sequence[str], start: Start, clock: Clock
) -> AbstractAsyncContextManager[Tail]:
    if (embedded := embedded_log(data)) is not None:
        from fanfold.adapters.sqlite.tail import sqlite_tail

        return sqlite_tail(embedded, topics, clock=clock, **start._asdict())
    from fanfold.adapters.kafka.tail import KafkaTail

    return KafkaTail(settings_of(data), topics, clock=clock, **start._asdict())


def _topics(named: Sequence[str] | None) -> Sequence[str]:
    known = load_topics()
    if unknown := [name for name in named or () if name not in known]:
        raise typer.BadParameter(f"{unknown[0]} is no topic: choose of {', '.join(known)}")
    return named or PUBLIC_TOPICS


def _start(text: str) -> Start:
    if text == "beginning":
        return Start()
    if text == "end":
        return Start(since_ms=_NEVER_MS)
    if text.isdecimal():
        return Start(first_offset=int(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text} is neither beginning, end, an offset nor a time like 2026-11-21T03:10:00Z"
        ) from error
    if time.tzinfo is None:
        raise typer.BadParameter(f"{text} has no time zone: add Z for UTC")
    return Start(since_ms=int(time.timestamp() * 1000))


def _as_line(record: Record) -> str:
    # As JSON, which escapes what a terminal would obey.
    value = orjson.dumps(_json_or_text(record.value)).decode()
    key = (record.key or b"").decode(errors="replace")
    name = event_name(record.headers)
    return f"{rfc3339(record.appended_at_ms)} {record.position} {name} {key} {value}\n"


def _as_json(record: Record) -> str:
    document: dict[str, Any] = {
        "position": str(record.position),
        "appended_at": rfc3339(record.appended_at_ms),
        "type": _header(record, "ce_type"),
        "key": (record.key or b"").decode(errors="replace"),
        "headers": {name: _header(record, name) for name in record.headers},
        "value": _json_or_text(record.value),
    }
    return orjson.dumps(document).decode() + "\n"


def _json_or_text(value: bytes | None) -> Any:
    """A dead letter may hold anything."""
    try:
        return None if value is None else orjson.loads(value)
    except ValueError:
        return (value or b"").decode(errors="replace")


def _header(record: Record, name: str) -> str:
    return record.headers.get(name, b"").decode(errors="replace")
