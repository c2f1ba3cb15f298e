"""`fanfold events snapshot`: which records last, and what its directory is like whatever happens."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
from typer.testing import CliRunner

from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.clock import SystemClock
from fanfold.core.data_format import LOG_FILE
from fanfold.core.errors import Fault
from fanfold.core.events import (
    GRAPH,
    AuthorModeChanged,
    Event,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostUnliked,
    UserFellAsleep,
    UserFollowed,
    UserLeft,
    UserMuted,
    UserRegistered,
    UserUnfollowed,
    UserWoke,
    encode,
    from_ms,
)
from fanfold.core.exit_codes import ExitCode
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Span
from fanfold.core.topics import SCHEMAS
from fanfold.ops.command_line import app
from fanfold.ops.snapshot.form import HEAD, Head, line_of, read_head, record_of
from fanfold.ops.snapshot.lasting import Lasting
from fanfold.ops.snapshot.make import make_snapshot, refuse_gap
from fanfold.ops.snapshot.schemas import snapshot_schemas
from tests.support.logs import a_follow, a_post

AT = from_ms(1_800_000_000_000)
POST = a_post(by="bob")
ABOUT = {"post_id": POST.post_id, "author_id": "bob"}
EDITED = PostEdited(**ABOUT, content="edited", edited_at=AT)
DELETED = PostDeleted(**ABOUT, deleted_at=AT)
LIKED = PostLiked(**ABOUT, user_id="alice", liked_at=AT)
UNLIKED = PostUnliked(**ABOUT, user_id="alice", unliked_at=AT)
FOLLOWED = UserFollowed(follower_id="alice", followee_id="bob", followed_at=AT)
UNFOLLOWED = UserUnfollowed(follower_id="alice", followee_id="bob", unfollowed_at=AT)
ASLEEP = UserFellAsleep(user_id="bob", fell_asleep_at=AT)
WOKE = UserWoke(user_id="bob", woke_at=AT)
LEFT = UserLeft(user_id="bob", left_at=AT)
PUSHED, PULLED = (
    AuthorModeChanged(
        author_id="bob", delivery=delivery, follower_count=3, changed_at=AT, caused_by=0
    )
    for delivery in ("push", "pull")
)


def registered(**more: str) -> UserRegistered:
    return UserRegistered(user_id="bob", display_name="Bob", registered_at=AT, **more)


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Lasting]:
    opened = Lasting(tmp_path / "lasting.sqlite")
    yield opened
    opened.close()


def record(event: Event, offset: int) -> Record:
    encoded = encode(event, source="test", now_ms=0)
    headers = dict(encoded.headers)
    return Record(event.topic, 0, offset, encoded.key, encoded.value, headers, 1_800_000_000_000)


def kept(lasting: Lasting, *events: Event) -> list[int]:
    """The numbers of the events, all of one topic, that last."""
    lasting.begin_topic()
    for offset, event in enumerate(events):
        lasting.add(record(event, offset))
    return [int(json.loads(line)["sequence"]) for line in lasting.of(0)]


@pytest.mark.parametrize(
    ("events", "last"),
    [
        # The same post is appended again after a lost acknowledgement, and takes no edit back.
        ((POST, EDITED, POST), [0, 1]),
        ((POST, EDITED, EDITED), [0, 2]),
        ((POST, EDITED, DELETED), [2]),
        ((POST, DELETED, POST, EDITED), [1]),
        ((FOLLOWED, FOLLOWED, FOLLOWED), [0, 2]),
        ((FOLLOWED, FOLLOWED, UNFOLLOWED), []),
        ((FOLLOWED, UNFOLLOWED, FOLLOWED), [2]),
        ((LIKED, LIKED, UNLIKED), []),
        ((LIKED, UNLIKED, LIKED), [2]),
        ((ASLEEP, WOKE), []),
        ((WOKE, ASLEEP), [1]),
        ((PULLED, PUSHED), [1]),
        # Null leaves a field as it was.
        ((registered(bio="a"), registered(), registered(avatar_url="b"), registered()), [0, 2, 3]),
        ((registered(), registered(bio="a"), registered(bio="b"), registered()), [0, 2, 3]),
        # Follows end by events of their own.
        ((registered(), FOLLOWED, PULLED, LEFT, registered()), [1, 3]),
    ],
)
def test_the_records_that_last(
    lasting: Lasting, events: tuple[Event, ...], last: list[int]
) -> None:
    assert kept(lasting, *events) == last
    # An earlier snapshot is read as the log is.
    lines = list(lasting.of(0))
    lasting.begin_topic()
    for line in lines:
        lasting.add(record_of(line, events[0].topic, 0))
    assert list(lasting.of(0)) == lines


def test_a_user_who_left_has_no_post_and_no_like(lasting: Lasting) -> None:
    by_bob = PostLiked(**{**ABOUT, "author_id": "carl"}, user_id="bob", liked_at=AT)
    assert kept(lasting, LIKED, by_bob) == [0, 1]
    assert kept(lasting, LEFT) == [0]
    assert kept(lasting, LIKED, by_bob) == []
    assert kept(lasting, POST, EDITED) == []
    assert kept(lasting, ASLEEP) == []


def test_an_event_of_a_later_version_lasts_and_what_is_no_event_does_not(lasting: Lasting) -> None:
    later = record(FOLLOWED, 0)
    later.headers["ce_type"] = b"fanfold.UserFrozen.v1"
    unreadable = Record(GRAPH, 0, 1, b"", b"no JSON", dict(later.headers), 0)
    list_, wrong, deleted = (
        Record(GRAPH, 0, n, b"", value, {"ce_type": b"fanfold.UserFollowed.v1"}, 0)
        for n, value in enumerate((b"[]", b"{}", None), 2)
    )
    lasting.begin_topic()
    for found in (later, unreadable, list_, wrong, deleted):
        lasting.add(found)
    assert [json.loads(line)["type"] for line in lasting.of(0)] == ["fanfold.UserFrozen.v1"]
    assert lasting.left_out == 4


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["events", *arguments])


def a_log(path: Path) -> SqliteLog:
    return SqliteLog(path / LOG_FILE, clock=SystemClock(), source="test")


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


@pytest.mark.slow
async def test_it_goes_on_from_the_one_before_and_its_files_are_those_of_the_newest(
    tmp_path: Path,
) -> None:
    """And `events tail` begins with it, on a log that is being written."""
    into = tmp_path / "snapshot"
    options = ("snapshot", "--into", str(into), "--data", str(tmp_path), "--json")
    async with a_log(tmp_path) as log:
        await log.append_many([a_follow(by="alice"), a_follow(by="carl"), POST])
        await log.append(UserMuted(user_id="alice", target_id="bob", muted_at=AT))
        first = await asyncio.to_thread(invoke, *options)
        assert first.exit_code == 0, first.output
        await log.append_many(
            [UserUnfollowed(follower_id="alice", followee_id="bob", unfollowed_at=AT), EDITED]
        )
        second = await asyncio.to_thread(invoke, *options)
        await log.append(a_follow(by="dora"))
        tail = (
            "tail",
            "--from-snapshot",
            str(into),
            "--data",
            str(tmp_path),
            "--no-follow",
            "--json",
        )
        shown = await asyncio.to_thread(invoke, *tail)
        of_graph = await asyncio.to_thread(invoke, *tail, "--topic", GRAPH, "--limit", "1")
    counts = [json.loads(done.stdout) for done in (first, second)]
    assert [(found["read"], found["kept"], found["left_out"]) for found in counts] == [
        (3, 3, 0),
        (2, 3, 0),
    ]
    head = read_head(into)
    assert head is not None
    assert head == Head.model_validate(counts[1]["head"])
    named = {part.file for parts in head.topics.values() for part in parts}
    assert files(into) == named | {HEAD}

    events = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [event["type"].split(".")[1] for event in events] == [
        *("PostCreated", "PostEdited", "UserFollowed", "UserFollowed")
    ]
    assert [event["value"].get("follower_id") for event in events] == [None, None, "carl", "dora"]
    assert [json.loads(line)["value"]["follower_id"] for line in of_graph.stdout.splitlines()] == [
        "carl"
    ]


async def test_an_interrupted_run_leaves_the_snapshot_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "snapshot"
    options = ("snapshot", "--into", str(into), "--data", str(tmp_path))
    async with a_log(tmp_path) as log:
        await log.append(POST)
        assert (await asyncio.to_thread(invoke, *options)).exit_code == 0
        before = {name: (into / name).read_bytes() for name in files(into)}
        await log.append(EDITED)

        def interrupted(*_: object) -> Iterator[bytes]:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Lasting, "of", interrupted)
            done = await asyncio.to_thread(invoke, *options)
        assert done.exit_code == ExitCode.INTERRUPTED
        assert "the snapshot before is as it was" in done.stderr
        assert {name: (into / name).read_bytes() for name in before} == before
        (into / ".work-left-by-a-crash").mkdir()
        assert (await asyncio.to_thread(invoke, *options)).exit_code == 0
        assert not list(into.glob(".work-*"))
        assert not [name for name in files(into) if name.endswith(".new")]


async def test_two_runs_are_not_in_one_directory(tmp_path: Path) -> None:
    async with a_log(tmp_path):
        pass
    into = tmp_path / "snapshot"
    into.mkdir()
    opened = os.open(into, os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)
    try:
        done = await asyncio.to_thread(
            invoke, "snapshot", "--into", str(into), "--data", str(tmp_path)
        )
    finally:
        os.close(opened)
    assert isinstance(done.exception, Fault)
    assert "another run makes the snapshot" in str(done.exception)


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    into = tmp_path / "snapshot"
    async with a_log(tmp_path) as log:
        await log.append(POST)
        assert (
            await asyncio.to_thread(
                invoke, "snapshot", "--into", str(into), "--data", str(tmp_path)
            )
        ).exit_code == 0
    for path in (into / "posts.v1").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    for command in (("snapshot", "--into"), ("tail", "--no-follow", "--from-snapshot")):
        done = await asyncio.to_thread(invoke, *command, str(into), "--data", str(tmp_path))
        assert isinstance(done.exception, Fault), command
        assert "is damaged" in str(done.exception)


def test_the_committed_schemas_are_the_models_and_what_is_written_fits_them(tmp_path: Path) -> None:
    committed = {path.name: path.read_text() for path in (SCHEMAS / "snapshots").iterdir()}
    assert committed == snapshot_schemas(), "run `make schemas` and commit the difference"
    head, line = (json.loads(committed[name]) for name in ("snapshot.v1.json", "line.v1.json"))
    for schema in (head, line):
        jsonschema.validate(schema["examples"][0], schema)
    jsonschema.validate(json.loads(line_of(record(FOLLOWED, 3))), line)
    written = Head.model_validate(head["examples"][0]).model_dump_json()
    jsonschema.validate(json.loads(written), {**head, "additionalProperties": False})


@pytest.mark.parametrize(
    ("span", "says"),
    [(Span(8, 9), "has lost posts.v1/3 from 7 to 8"), (Span(0, 6), "it is of another log")],
)
def test_a_log_that_does_not_go_on_from_a_snapshot_is_refused(span: Span, says: str) -> None:
    refuse_gap("posts.v1", 3, 7, Span(7, 7), Path("snapshot"))
    with pytest.raises(Fault, match=says):
        refuse_gap("posts.v1", 3, 7, span, Path("snapshot"))


def test_a_snapshot_that_this_version_can_not_read_is_refused(tmp_path: Path) -> None:
    assert read_head(tmp_path) is None
    for text in ("{", '{"format": 2, "made_at": "2026-11-21T01:02:03.456Z", "topics": {}}'):
        (tmp_path / HEAD).write_text(text)
        with pytest.raises(Fault, match="no snapshot that this version can read"):
            read_head(tmp_path)


class Log(NamedTuple):
    """One partition of `graph.v1`, which forgets its first records at some answer."""

    records_: list[Record]
    forgets_at: Iterator[bool] = iter(())

    async def spans(self, topic: str) -> dict[int, Span]:
        first = int(topic == GRAPH and next(self.forgets_at, False))
        return {0: Span(first, len(self.records_) if topic == GRAPH else 0)}

    async def records(self, topic: str, spans: Mapping[int, Span]) -> list[Record]:
        return [record for span in spans.values() for record in self.records_[slice(*span)]]


@pytest.mark.parametrize("forgets_at", [[True], [False, True]])
async def test_records_that_the_log_forgets_before_they_are_read_are_noticed(
    tmp_path: Path, forgets_at: list[bool]
) -> None:
    log = Log([record(FOLLOWED, 0), record(UNFOLLOWED, 1)], iter(forgets_at))
    with pytest.raises(Fault, match="has lost graph"):
        await make_snapshot(log, tmp_path, clock=SystemClock())
    assert read_head(tmp_path) is None


async def test_a_topic_that_is_public_since_the_snapshot_before_is_read_from_its_beginning(
    tmp_path: Path,
) -> None:
    log = Log([record(FOLLOWED, 0)])
    made = await make_snapshot(log, tmp_path, clock=SystemClock())
    older = {topic: parts for topic, parts in made.head.topics.items() if topic != GRAPH}
    (tmp_path / HEAD).write_text(made.head.model_copy(update={"topics": older}).model_dump_json())
    again = await make_snapshot(log, tmp_path, clock=SystemClock())
    assert again.head.topics == made.head.topics
    assert again.counts.done == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--from", "beginning"), "give either --from or --from-snapshot"),
        (("--topic", "ties.v1"), "ties.v1 is not public"),
        ((), "has no snapshot: `fanfold events snapshot --into"),
    ],
)
def test_a_wrong_option_says_what_to_change(
    options: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    arguments = ["events", "tail", "--from-snapshot", str(tmp_path), *options]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert says in done.output
