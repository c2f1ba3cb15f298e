"""`fanfold graph import` on the embedded stack: what it imports, what it rejects and why, and where it resumes."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from rich.console import Console

from fanfold.core.errors import Rejected, Unavailable
from fanfold.core.events import UserRegistered, to_ms
from fanfold.core.exit_codes import ExitCode
from fanfold.core.settings import Settings
from fanfold.ops.graph_import.checkpoint import Counts
from fanfold.ops.graph_import.command import Request, import_graph
from fanfold.ops.graph_import.display_names import read_display_names
from fanfold.ops.graph_import.edge_list import (
    LONGEST_LINE,
    Columns,
    Edge,
    Line,
    Wrong,
    is_blank,
    parse,
    read_header,
    read_lines,
)
from fanfold.ops.graph_import.importer import Moment
from fanfold.ops.graph_import.pace import LEAST_LAG, SLOW_APPEND_S, Pace
from fanfold.ops.graph_import.progress import showing
from fanfold.ops.graph_import.rejects import Rejects
from tests.support.clock import START_MS, ManualClock
from tests.support.fanout import a_follow, a_pipeline
from tests.support.graph_import import Importing, WorkerBehind, a_list

AT_MS = to_ms(datetime(2026, 1, 31, 12, tzinfo=UTC))


def a_line(text: str | bytes) -> Line:
    raw = text.encode() if isinstance(text, str) else text
    return Line(1, raw, len(raw))


def parsed(text: str | bytes, columns: Columns | None = None) -> Edge | Wrong:
    return parse(a_line(text), columns or Columns(), latest_ms=START_MS)


# --- lines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "alice,bob",
        "alice, bob ",
        '"alice","bob"',
        "alice\tbob",
        "alice bob",
        "  alice   bob",
        b"\xef\xbb\xbfalice,bob",
    ],
)
def test_two_columns_are_a_follow_with_any_separator(text: str | bytes) -> None:
    assert parsed(text) == Edge("alice", "bob", None)


@pytest.mark.parametrize(
    "text",
    [
        "alice,bob,2026-01-31T12:00:00Z",
        "alice\tbob\t2026-01-31t12:00:00.000z",
        "alice bob 2026-01-31 13:00:00+01:00",
    ],
)
def test_a_third_column_is_the_time_of_the_follow(text: str) -> None:
    assert parsed(text) == Edge("alice", "bob", AT_MS)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("alice", "1 column, expected 2 or 3"),
        ("a,b,,d", "4 columns, expected 2 or 3"),
        ("a b c d e", "5 columns, expected 2 or 3"),
        (",bob", "no follower"),
        ("alice,", "no followee"),
        ("alice,alice", "a user can't follow themselves"),
        ("alice,bób", "the followee's id may hold"),
        ("..,bob", "the follower's id may hold"),
        ("alice,b\x00b", "the followee's id may hold"),
        ("x" * 65 + ",bob", "the follower's id is longer than 64 characters"),
        (b"ali\xffce,bob", "not UTF-8"),
        ("alice,bob,yesterday", "the time is not RFC 3339"),
        ("alice,bob,2026-01-31", "the time is not RFC 3339"),
        ("alice,bob,2026-01-31T12:00:00", "the time is not RFC 3339"),
        ("alice,bob,2026-13-31T12:00:00Z", "the time is not RFC 3339"),
        ("alice,bob,0001-01-01T00:00:00+23:59", "the time is not RFC 3339"),
        ("alice,bob,1969-12-31T23:59:59Z", "the time is not RFC 3339"),
        ("alice,bob,2999-01-01T00:00:00Z", "the time is in the future"),
    ],
)
def test_a_rejected_line_has_a_reason(text: str | bytes, why: str) -> None:
    found = parsed(text)
    assert isinstance(found, Wrong)
    assert found.why.startswith(why)


def test_a_header_names_the_columns() -> None:
    columns = read_header(a_line("Followee, followed_at ,follower_id"))
    assert columns == Columns(follower=2, followee=0, time=1, named=True)
    assert parsed("bob,,alice", columns) == Edge("alice", "bob", None)
    assert parsed("bob,alice", columns) == Wrong("2 columns, expected 3")
    assert read_header(a_line("alice,bob")) is None


def test_a_header_with_other_columns_is_refused_before_anything_is_imported() -> None:
    with pytest.raises(Rejected, match="weight"):
        read_header(a_line("follower,followee,weight"))


def test_lines_are_numbered_and_the_last_needs_no_newline() -> None:
    long = b"x" * (3 * LONGEST_LINE)
    text = b"a,b\r\n\n# comment\n" + long + b"\nc,d"
    lines = list(read_lines(BytesIO(text)))
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert [is_blank(line) for line in lines] == [False, True, True, False, False]
    assert [line.whole for line in lines] == [True, True, True, False, True]
    assert len(lines[3].raw) == LONGEST_LINE
    assert (lines[0].raw, lines[4].raw, lines[4].end) == (b"a,b", b"c,d", len(text))
    assert parse(lines[3], Columns(), latest_ms=0) == Wrong("longer than 4096 bytes")


# --- the pace ------------------------------------------------------------------------------------------


def observed(pace: Pace, lag: int, *, handled: int = 0, at_s: float = 0) -> None:
    pace.observe(lag, handled=handled, appended=pace.appended, now_s=at_s)


def test_a_batch_waits_while_the_worker_is_behind() -> None:
    pace = Pace(max_lag_s=2)
    assert not pace.may_append(10, now_s=0), "nobody has looked yet"
    observed(pace, LEAST_LAG - 5)
    assert not pace.may_append(10, now_s=0)
    observed(pace, LEAST_LAG - 10)
    assert pace.may_append(10, now_s=0)
    pace.append(10, took_s=0, now_s=0)
    assert pace.lag == LEAST_LAG
    assert not pace.may_append(1, now_s=0)
    observed(pace, 0)
    assert pace.may_append(2 * LEAST_LAG, now_s=0), "more than the bound, when nothing waits"


def test_as_many_events_may_wait_as_the_worker_handles_within_the_bound() -> None:
    pace = Pace(max_lag_s=2)
    for second in range(5):
        observed(pace, 6999, handled=2000 * second, at_s=second)  # 3.5 s of work, 1.5 of it unseen
    assert pace.may_append(1, now_s=5)
    assert not pace.may_append(2, now_s=5)
    for second in range(5, 9):
        observed(pace, 999, handled=8000, at_s=second)
    assert pace.most_lag == LEAST_LAG, "it has stopped"


def test_after_a_slow_append_the_import_pauses_for_as_long_as_it_took() -> None:
    pace = Pace(max_lag_s=2)
    observed(pace, 0)
    pace.append(1, took_s=2 * SLOW_APPEND_S, now_s=10)
    assert not pace.may_append(1, now_s=10 + SLOW_APPEND_S)
    assert pace.may_append(1, now_s=10 + 2 * SLOW_APPEND_S)


def test_a_rate_is_not_exceeded() -> None:
    pace = Pace(max_lag_s=2, rate=10)
    observed(pace, 0)
    pace.append(20, took_s=0.5, now_s=1)
    assert not pace.may_append(1, now_s=2.4)
    assert pace.may_append(1, now_s=2.5)


# --- a whole import ------------------------------------------------------------------------------------


async def test_an_import_registers_users_appends_follows_and_keeps_rejected_lines(
    tmp_path: Path,
) -> None:
    path = a_list(
        tmp_path,
        ["follower,followee,time", "alice,bob,2026-01-31T12:00:00Z", "oops", "", "carol,bob,"],
    )
    async with a_pipeline() as pipeline:
        importing = Importing(pipeline, path, names={"bob": "Bob the Great"})
        counts = await importing.run()
        await pipeline.drain()

        assert (counts.lines, counts.edges, counts.appended) == (5, 2, 2)
        assert (counts.registered, counts.rejected) == (3, 1)
        bob = await pipeline.user("bob")
        assert (bob.display_name, bob.follower_count) == ("Bob the Great", 2)
        assert (await pipeline.user("carol")).display_name == "carol"
        follows = await pipeline.stores.follows.following("alice")
        assert follows["bob"].since_ms == AT_MS
        assert importing.rejected.read_text() == "# line 3: 1 column, expected 3\noops\n"


async def test_rejected_lines_can_be_corrected_and_imported(tmp_path: Path) -> None:
    path = a_list(tmp_path, ["alice,alice", "carol,bob"])
    async with a_pipeline() as pipeline:
        first = Importing(pipeline, path)
        await first.run()
        mended = first.rejected.read_text().replace("alice,alice", "alice,bob")
        second = Importing(pipeline, a_list(tmp_path / "mended", mended.splitlines()))
        counts = await second.run()
        assert (counts.appended, counts.rejected) == (1, 0)
        assert await second.active() == {("alice", "bob"), ("carol", "bob")}


async def test_a_gzip_file_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "edges.csv.gz"
    path.write_bytes(gzip.compress(b"alice,bob\ncarol,bob"))
    async with a_pipeline() as pipeline:
        assert (await Importing(pipeline, path).run()).appended == 2


@pytest.mark.slow
async def test_a_damaged_gzip_file_is_imported_up_to_the_damage(tmp_path: Path) -> None:
    text = "".join(f"{random.Random(n).randbytes(20).hex()},bob\n" for n in range(1500)).encode()
    path = tmp_path / "edges.csv.gz"
    path.write_bytes(gzip.compress(text)[:-500])
    async with a_pipeline(Settings(take_events=500)) as pipeline:
        importing = Importing(pipeline, path)
        with pytest.raises(Rejected, match="damaged"):
            await importing.run()
        assert len(await importing.followed()) >= 500


async def test_a_registered_user_keeps_the_display_name(tmp_path: Path) -> None:
    path = a_list(tmp_path, ["alice,bob"])
    async with a_pipeline() as pipeline:
        await pipeline.handle(
            UserRegistered(user_id="bob", display_name="Bob", registered_at=datetime.now(UTC))
        )
        counts = await Importing(pipeline, path, names={"bob": "Robert"}).run()
        await pipeline.drain()
        assert counts.registered == 1
        assert (await pipeline.user("bob")).display_name == "Bob"


async def test_without_registering_only_follows_are_appended(tmp_path: Path) -> None:
    path = a_list(tmp_path, ["alice,bob"])
    async with a_pipeline() as pipeline:
        counts = await Importing(pipeline, path, rules={"register": False}).run()
        await pipeline.drain()
        assert (counts.appended, counts.registered) == (1, 0)
        assert (await pipeline.user("bob")).display_name is None


async def test_no_user_follows_more_than_the_limit_after_an_import(tmp_path: Path) -> None:
    earlier, doubles = ["bob", "carol"], ["bob", "carol", "dave"]
    lines = [f"alice,{followee}" for followee in [*doubles, *doubles, "erin", "dave", "frank"]]
    path = a_list(tmp_path, [*lines, "bob,carol"])
    async with a_pipeline() as pipeline:
        await pipeline.handle(
            UserRegistered(user_id="alice", display_name="A", registered_at=datetime.now(UTC)),
            *(a_follow("alice", followee) for followee in earlier),
        )
        importing = Importing(pipeline, path, rules={"max_following": 3})
        counts = await importing.run()
        assert await importing.active() == {
            ("alice", "bob"),
            ("alice", "carol"),
            ("alice", "dave"),
            ("bob", "carol"),
        }
        assert counts.rejected == 2, "erin and frank; a line that comes again is no further follow"
        assert "alice follows 3 already" in importing.rejected.read_text()


@pytest.mark.slow
async def test_the_worker_is_never_further_behind_than_the_bound(tmp_path: Path) -> None:
    path = a_list(tmp_path, (f"u{n},v{n % 7}" for n in range(3000)))
    async with a_pipeline(Settings(take_events=200)) as pipeline:
        behind = WorkerBehind(pipeline)  # 400 events a second, by the clock of the observations
        importing = Importing(pipeline, path, rules={"max_lag_s": 5})
        await importing.run(behind=behind)
        assert LEAST_LAG / 2 < max(behind.looks) <= 2600
        assert any(moment.waiting == "the worker" for moment in importing.shown)
        assert len(await importing.active()) == 3000


async def test_an_import_survives_a_short_outage_of_the_log(tmp_path: Path) -> None:
    path = a_list(tmp_path, ["alice,bob"])
    async with a_pipeline() as pipeline:
        behind, fails = WorkerBehind(pipeline), iter(range(3))

        async def ends() -> list[int]:
            if next(fails, None) is not None:
                raise Unavailable("Kafka is away")
            return [0]

        behind.ends = ends  # type: ignore[method-assign]
        importing = Importing(pipeline, path)
        assert (await importing.run(behind=behind)).appended == 1
        assert any(moment.waiting == "Kafka is away" for moment in importing.shown)

        fails = iter(range(10**6))
        path.write_text("carol,bob\n")
        importing.checkpoint.unlink()
        with pytest.raises(Unavailable):
            await importing.run(behind=behind)


# --- going on ------------------------------------------------------------------------------------------


async def test_a_finished_import_does_nothing_when_it_is_repeated(tmp_path: Path) -> None:
    path = a_list(tmp_path, ["alice,bob"])
    async with a_pipeline() as pipeline:
        importing = Importing(pipeline, path)
        first = await importing.run()
        assert await importing.run() == first
        assert await importing.followed() == [("alice", "bob")]


async def test_a_checkpoint_of_another_file_or_log_is_refused(tmp_path: Path) -> None:
    path = a_list(tmp_path, ["alice,bob"])
    async with a_pipeline() as pipeline:
        importing = Importing(pipeline, path)
        await importing.run()
        elsewhere = Importing(pipeline, path, log_name="another log")
        with pytest.raises(Rejected, match="into this log, this is another log"):
            await elsewhere.run()
        path.write_text("alice,eve\n")
        with pytest.raises(Rejected, match=r"other content.*--start-over"):
            await importing.run()
        importing.checkpoint.write_text('{"version": 1')
        with pytest.raises(Rejected, match="not a checkpoint"):
            await importing.run()


async def test_a_half_written_checkpoint_beside_the_good_one_is_ignored(tmp_path: Path) -> None:
    path = a_list(tmp_path, ["alice,bob"])
    async with a_pipeline() as pipeline:
        importing = Importing(pipeline, path)
        first = await importing.run()
        importing.checkpoint.with_name("checkpoint.new").write_text('{"ver')
        assert await importing.run() == first


def test_two_imports_of_one_file_do_not_run_at_a_time(tmp_path: Path) -> None:
    with Rejects(tmp_path / "rejected"), pytest.raises(Rejected, match="another import"):
        Rejects(tmp_path / "rejected").__enter__()
    assert not (tmp_path / "rejected").exists(), "nothing was rejected, so nothing stays behind"


# --- what it shows -------------------------------------------------------------------------------------


def shown(*, terminal: bool) -> str:
    console = Console(file=StringIO(), force_terminal=terminal, width=200, highlight=False)
    clock, counts = ManualClock(), Counts(appended=1234, rejected=5)
    with showing(console, clock, total_bytes=200) as show:
        for read_bytes in range(0, 101, 10):
            clock.advance(1)
            show(Moment(counts, read_bytes, lag=70, waiting="[the worker]"))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_without_a_terminal_a_line_comes_every_few_seconds() -> None:
    said = "1,234 follows, 5 rejected, worker 70 events behind, waiting for [the worker]"
    assert shown(terminal=False) == f"20 %, {said}\n45 %, {said}\n"


def test_on_a_terminal_a_bar_moves() -> None:
    assert "waiting for [the worker]" in shown(terminal=True)


# --- the command ---------------------------------------------------------------------------------------


def a_dry_run(path: Path, *, rejected: Path | None = None, as_json: bool = True) -> Request:
    return Request(
        path=path,
        names=None,
        checkpoint=None,
        rejected=rejected,
        rate=None,
        max_lag_s=1,
        register=True,
        start_over=False,
        dry_run=True,
        as_json=as_json,
    )


def test_a_dry_run_only_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_list(tmp_path, ["alice,bob", "bob,bob"])
    assert import_graph(Settings(), a_dry_run(path)) == ExitCode.SOME_REJECTED
    summary = json.loads(capsys.readouterr().out)
    assert (summary["edges"], summary["appended"], summary["rejected"]) == (1, 0, 1)
    assert list(tmp_path.iterdir()) == [path]

    rejected = tmp_path / "bad"
    import_graph(Settings(), a_dry_run(path, rejected=rejected, as_json=False))
    assert "line 2: a user can't follow themselves" in capsys.readouterr().err
    assert rejected.read_text() == "# line 2: a user can't follow themselves\nbob,bob\n"

    path.write_text("alice,bob\n")
    assert import_graph(Settings(), a_dry_run(path)) == ExitCode.DONE


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="No such file"):
        import_graph(Settings(), a_dry_run(tmp_path / "none"))


def test_names_are_checked_before_anything_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text('user_id,display_name\nbob,"Bob, the ""Great"""\n')
    assert read_display_names(path) == {"bob": 'Bob, the "Great"'}
    for text, why in {
        "bob\n": "line 1: 1 columns",
        "alice,Alice\nbob, \n": "line 2: Write something",
        "b/b,Bob\n": "line 1: the id",
        '"bob': "line 1: unexpected end",
    }.items():
        path.write_text(text)
        with pytest.raises(Rejected, match=why):
            read_display_names(path)


async def test_the_follows_of_a_batch_are_sorted_by_followee(tmp_path: Path) -> None:
    path = a_list(tmp_path, (f"u{n},v{n % 3}" for n in range(9)))
    async with a_pipeline() as pipeline:
        importing = Importing(pipeline, path)
        await importing.run()
        followees = [followee for _, followee in await importing.followed()]
        assert followees == ["v0"] * 3 + ["v1"] * 3 + ["v2"] * 3
