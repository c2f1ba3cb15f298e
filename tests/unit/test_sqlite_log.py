"""What only the embedded log promises: one file for one process, and a replay in the order of appending."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from console_service.browse import MOST_LOOKED_AT, newest
from fanfold.adapters.sqlite.consumer import SqliteConsumer
from fanfold.adapters.sqlite.file import SqliteFile
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.adapters.sqlite.log_view import SqliteLogView
from fanfold.adapters.sqlite.tail import sqlite_tail
from fanfold.core.data_format import DATA_FORMAT
from fanfold.core.errors import Fault
from fanfold.core.events import COMMANDS, GRAPH, POSTS, DeliverSlice, Event, PostCreated
from fanfold.core.ports.log import Record
from fanfold.core.topics import load_topics
from tests.support.clock import ManualClock
from tests.support.logs import Seen, a_follow, a_post, everything, followers, running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def opened(path: Path, clock: ManualClock | None = None) -> SqliteLog:
    return SqliteLog(path, clock=clock or ManualClock(), source="test")


@asynccontextmanager
async def replaying(log: SqliteLog, seen: Seen) -> AsyncIterator[SqliteConsumer]:
    consumer = SqliteConsumer(log, clock=ManualClock(), take_events=7, replay=True)
    async with running(consumer, {GRAPH: seen, POSTS: seen, COMMANDS: seen}):
        yield consumer


def a_slice(of: PostCreated) -> DeliverSlice:
    return DeliverSlice(post_id=of.post_id, author_id=of.author_id, generation=0, bucket=0)


async def test_a_reopened_log_continues_after_its_last_record(path: Path) -> None:
    async with opened(path) as log:
        first = await log.append(a_follow(by="u0"))
    async with opened(path) as log:
        second = await log.append(a_follow(by="u1"))

        assert followers(await everything(log, 2)) == ["u0", "u1"]
    assert first is not None
    assert second is not None
    assert (second.partition, second.offset) == (first.partition, first.offset + 1)


async def test_a_log_that_another_process_has_open_is_refused(path: Path) -> None:
    async with opened(path) as log:
        with pytest.raises(Fault, match="locked"):
            async with opened(path):
                pass
        await log.append(a_follow())


async def test_a_log_is_locked_whatever_it_is_called(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "another.sqlite"
    other.symlink_to(path)
    async with opened(path):
        with pytest.raises(Fault, match="locked"):
            async with opened(other):
                pass


async def test_a_deleted_file_lets_no_second_writer_in(path: Path) -> None:
    async with opened(path) as log:
        await log.append(a_follow(by="u0"))
        for beside in entries(path.parent):
            if beside.name not in {path.name, f"{path.name}-wal", f"{path.name}-shm"}:
                beside.unlink()
        with pytest.raises(Fault, match="locked"):
            async with opened(path):
                pass
    async with opened(path) as log:
        assert followers(await everything(log, 1)) == ["u0"]


@pytest.fixture
def no_log(path: Path) -> Path:
    path.write_text("not a database, but long enough to be taken for one" * 50)
    return path


async def test_a_file_that_is_not_a_log_is_refused(no_log: Path) -> None:
    with pytest.raises(Fault, match="not a database"):
        async with opened(no_log):
            pass


async def test_a_record_carries_the_time_at_which_it_was_appended(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as log:
        await log.append(a_follow(by="u0"))
        clock.advance(60)
        await log.append(a_follow(by="u1"))

        late = await everything(log, 1, since_ms=clock.now_ms())

    assert followers(late) == ["u1"]
    assert late[0].appended_at_ms == clock.now_ms()


async def test_a_tail_that_is_not_read_falls_behind(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as log, log.tail([GRAPH], since_ms=0) as tail:
        assert tail.behind_s() == 0
        await log.append(a_follow())
        clock.advance(3)
        assert tail.behind_s() == 3
        await tail.read()
        assert tail.behind_s() == 0


async def test_a_replay_repeats_history_in_the_order_of_appending_over_all_topics(
    path: Path,
) -> None:
    history: list[Event] = []
    for n in range(20):
        history += [a_follow(by=f"u{n}"), a_post(by=f"u{n}"), a_follow(of="x", by=f"u{n}")]
    async with opened(path) as log:
        for event in history:
            await log.append(event)
    seen = Seen()

    async with opened(path) as log, replaying(log, seen) as consumer:
        await consumer.drained()

    assert [record.event() for record in seen.records] == history


async def test_a_new_process_starts_at_the_first_record(path: Path) -> None:
    before, after = Seen(), Seen()
    async with opened(path) as log:
        await log.append(a_follow())
        async with replaying(log, before) as consumer:
            await consumer.drained()
    async with opened(path) as log:
        restarted = SqliteConsumer(log, clock=ManualClock(), take_events=10)
        async with running(restarted, {GRAPH: after}):
            await restarted.drained()

    assert before.records == after.records


async def test_clearing_deletes_internal_records_and_keeps_public_ones(path: Path) -> None:
    post = a_post()
    async with opened(path) as log:
        await log.append(post)
        await log.append(a_slice(post))
        await log.dead_letter(Record(GRAPH, 0, 0, b"", b"", {}, 0), "poison")

        await log.clear_internal()

        (left,) = await everything(log, 1, [POSTS, COMMANDS, "dead-letters.v1"])
        assert left.event() == post
        again = await log.append(a_slice(post))
        assert again is not None
        assert again.offset == 0


async def test_a_reader_skips_no_record_over_two_restarts(path: Path) -> None:
    """The second restart must not give out a `seq` again that a deleted record had: the reader has passed it."""
    post = a_post()
    async with opened(path) as log:
        await log.append(post)
        await log.append_many([a_slice(post)] * 3)
    async with sqlite_tail(path, [POSTS, COMMANDS], since_ms=0, clock=ManualClock()) as reader:
        assert len(await reader.read()) == 4
        for _ in range(2):
            async with opened(path) as log:
                await log.clear_internal()
        async with opened(path) as log:
            await log.append(a_post(content="after two restarts"))
            async with asyncio.timeout(5):
                (record,) = await reader.read()
    event = record.event()
    assert isinstance(event, PostCreated)
    assert event.content == "after two restarts"


async def test_drained_waits_for_events_that_handlers_append(path: Path) -> None:
    async with opened(path) as log:
        handled: list[str] = []

        async def post(records: Sequence[Record]) -> None:
            await log.append_many([a_post(by=follower) for follower in followers(records)])

        async def slices(records: Sequence[Record]) -> None:
            posts = [r.event() for r in records]
            await log.append_many([a_slice(p) for p in posts if isinstance(p, PostCreated)])

        async def done(records: Sequence[Record]) -> None:
            handled.extend(str(record.position) for record in records)

        consumer = SqliteConsumer(log, clock=ManualClock(), take_events=3)
        async with running(consumer, {GRAPH: post, POSTS: slices, COMMANDS: done}):
            await log.append_many([a_follow(by=f"u{n}") for n in range(10)])
            await consumer.drained()

            assert len(handled) == 10


async def test_drained_raises_once_the_consumer_has_stopped(path: Path) -> None:
    async def fails(records: Sequence[Record]) -> None:
        raise ConnectionError

    async with opened(path) as log:
        consumer = SqliteConsumer(log, clock=ManualClock(), take_events=3)
        async with running(consumer, {GRAPH: fails}):
            await log.append(a_follow())
            with pytest.raises(Fault, match="stopped"):
                await asyncio.wait_for(consumer.drained(), 5)


async def test_closing_waits_for_appends_in_flight(path: Path) -> None:
    async with opened(path) as log:
        appending = asyncio.create_task(log.append(a_follow(by="last")))
        await asyncio.sleep(0)
    await appending

    async with opened(path) as log:
        assert followers(await everything(log, 1)) == ["last"]


def test_a_new_log_is_marked_with_the_data_format(path: Path) -> None:
    SqliteFile(path).close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (DATA_FORMAT,)
    SqliteFile(path).close()


@pytest.mark.parametrize(("version", "which"), [(0, "an earlier"), (DATA_FORMAT + 1, "a later")])
async def test_a_log_of_another_data_format_is_refused_in_one_line_that_says_what_to_type(
    path: Path, version: int, which: str
) -> None:
    async with opened(path) as log:
        await log.append(a_follow())
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version = {version}")

    with pytest.raises(Fault) as refused:
        async with opened(path):
            pass

    said = str(refused.value)
    assert f"written by {which} version" in said
    assert f"`rm -r {path.parent}`" in said
    assert "`make run DATA=" in said
    assert "\n" not in said


async def test_two_logs_in_memory_are_apart_and_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clock = ManualClock()
    async with (
        SqliteLog(Path(":memory:"), clock=clock, source="one"),
        SqliteLog(Path(":memory:"), clock=clock, source="another"),
    ):
        assert entries(tmp_path) == []


def entries(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def test_what_an_operator_asks_costs_no_more_in_a_longer_log(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as log:
        view = SqliteLogView(log)
        steps: list[None] = []
        assert log._file is not None
        log._file._connection.set_progress_handler(lambda: steps.append(None), 100)

        async def hundreds_of_steps() -> int:
            """Of SQLite's machine, for each kind of question."""
            steps.clear()
            until = await view.spans(POSTS, until_ms=clock.now_ms())
            assert sum(span.end for span in until.values()) == log.last_seq([POSTS])
            backlog = await view.backlog(most_commands=10)
            assert sum(lag.records for lag in backlog.lags) == log.last_seq([POSTS])
            page = await newest(view, POSTS, limit=10, until_ms=clock.now_ms())
            assert page.looked_at == 10
            return len(steps)

        # What a page reads of one partition: it is the same from here on.
        most = MOST_LOOKED_AT // load_topics()[POSTS].partitions["few"]
        await log.append_many([a_post(by="bob") for _ in range(most)])
        few = await hundreds_of_steps()
        await log.append_many([a_post(by="bob") for _ in range(20 * most)])
        assert await hundreds_of_steps() < few + 10
