"""The consumers of `examples/consumers`, by the kit that a consumer's team copies; the kit finds consumers that are wrong."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from runpy import run_path
from threading import Thread
from typing import Any, get_args

import httpx2
import jsonschema
import pytest
from exactly_once import Consumer, Event
from fanfold_snapshots import check_from_snapshot, write_snapshot
from fanfold_testkit import Events, FakeLog, FakeRecord, Handle, a_history, check
from from_snapshot import load
from leaderboard import Leaderboard
from notifications import Notifications, server
from search import Search

from fanfold.core import events
from fanfold.core.events import PrivateEvent, PublicEvent
from fanfold.core.topics import SCHEMAS

EXAMPLES = Path(__file__).parents[2] / "examples"
EVENTS = Events(SCHEMAS / "events")
CONSUMERS = {"leaderboard.py": Leaderboard, "notifications.py": Notifications, "search.py": Search}


def rows(path: Path) -> dict[str, list[Any]]:
    """Every table that a consumer made, without the numbers that depend on the order of the partitions."""
    with closing(sqlite3.connect(path)) as db:
        names = [
            name
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith(("words_", "sqlite_")) and name not in ("posts", "words")
        ]
        found = {name: sorted(db.execute(f"SELECT * FROM {name}"), key=repr) for name in names}
        if (
            "offsets" in found
            and db.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone()
        ):
            found["words"] = sorted(
                db.execute("SELECT post_id, content FROM words JOIN posts ON number = words.rowid")
            )
            found["posts"] = sorted(db.execute("SELECT post_id, author_id, gone FROM posts"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("consumer", CONSUMERS.values(), ids=CONSUMERS)
def test_an_example_keeps_the_contract(consumer: type[Consumer], tmp_path: Path) -> None:
    def make(path: Path) -> Handle:
        opened = consumer(path)
        topics = {f"fanfold.{topic}" for topic in consumer.TOPICS}

        def handle(records: Sequence[FakeRecord]) -> None:
            if records[0].topic in topics:
                opened.handle(records)

        return handle

    check(EVENTS, make=make, observe=rows, directory=tmp_path, histories=1)
    assert any(rows(path)["offsets"] for path in tmp_path.iterdir() if path.suffix == "")


def shown(path: Path) -> dict[str, list[Any]]:
    """What a consumer shows. `Search` also remembers posts of users who left, which a snapshot does not have."""
    return {name: found for name, found in rows(path).items() if name not in {"posts", "offsets"}}


@pytest.mark.parametrize("consumer", CONSUMERS.values(), ids=CONSUMERS)
def test_an_example_may_begin_with_a_snapshot(consumer: type[Consumer], tmp_path: Path) -> None:
    def make(path: Path) -> Handle:
        opened = consumer(path)
        topics = {f"fanfold.{topic}" for topic in consumer.TOPICS}
        return lambda records: opened.handle(records) if records[0].topic in topics else None

    check_from_snapshot(
        EVENTS,
        make=make,
        load=lambda path, snapshot: load(consumer(path), snapshot),
        observe=shown,
        directory=tmp_path,
        histories=3,
    )
    assert any(rows(path)["offsets"] for path in tmp_path.glob("*-snapshot"))


def test_a_snapshot_is_not_loaded_into_what_has_begun(tmp_path: Path) -> None:
    """It lacks the unfollow that would end what an older snapshot, or the log, has begun."""
    log, board = FakeLog(EVENTS), Leaderboard(tmp_path / "db")
    for user in ("a", "b"):
        log.append("fanfold.UserFollowed.v1", follower_id=user, followee_id="nova")
    load(board, write_snapshot(log, {}, tmp_path / "older"))
    log.append("fanfold.UserUnfollowed.v1", follower_id="a", followee_id="nova")
    load(board, write_snapshot(log, {}, tmp_path / "newer"))
    assert board.top(1) == [("nova", 2)]
    played(board, log)
    assert board.top(1) == [("nova", 1)]


@pytest.mark.parametrize("name", CONSUMERS)
def test_an_example_without_arguments_says_how_it_is_started(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [name])
    with pytest.raises(SystemExit, match=f"python {name} 127.0.0.1:9092"):
        run_path(str(EXAMPLES / "consumers" / name), run_name="__main__")


def test_an_example_is_short_and_needs_no_code_of_ours() -> None:
    for name in CONSUMERS:
        text = (EXAMPLES / "consumers" / name).read_text()
        assert len(text.splitlines()) < 150, name
    for path in EXAMPLES.rglob("*.py"):
        assert "import fanfold\n" not in path.read_text(), path
        assert "from fanfold" not in path.read_text().replace("from fanfold_", ""), path


class _Counts(Consumer):
    """Right, but for what a test changes."""

    TOPICS = ("graph.v1",)
    SCHEMA = "CREATE TABLE IF NOT EXISTS counts (user_id PRIMARY KEY, follows)"

    def apply(self, db: sqlite3.Connection, type_: str, event: Event) -> None:
        if type_ == "fanfold.UserFollowed.v1":
            db.execute(
                "INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET follows = follows + 1",
                (event["followee_id"],),
            )


@pytest.mark.slow
def test_a_consumer_that_counts_is_right_because_the_offset_is_stored_with_the_count(
    tmp_path: Path,
) -> None:
    check(
        EVENTS,
        make=lambda path: _Counts(path).handle,
        observe=rows,
        directory=tmp_path,
        histories=1,
    )


class _Forgets(_Counts):
    def handle(self, records: Sequence[Any]) -> None:
        with closing(self.open()) as db:
            for record in records:
                type_ = dict(record.headers)["ce_type"].decode()
                self.apply(db, type_, json.loads(record.value))


class _Strict(_Counts):
    def apply(self, db: sqlite3.Connection, type_: str, event: Event) -> None:
        jsonschema.validate(event, {**EVENTS.schemas[type_], "additionalProperties": False})


class _ByArrival(_Counts):
    SCHEMA = "CREATE TABLE IF NOT EXISTS last (one PRIMARY KEY, user_id)"

    def apply(self, db: sqlite3.Connection, type_: str, event: Event) -> None:
        if type_ == "fanfold.UserFollowed.v1":
            db.execute("REPLACE INTO last VALUES (1, ?)", (event["followee_id"],))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (_Forgets, "each batch twice|with restarts"),
        (_Strict, "added_in_a_later_version"),
        (_ByArrival, "one by one|in another order"),
    ],
)
def test_the_kit_finds_a_consumer_that_is_wrong(
    wrong: type[Consumer], says: str, tmp_path: Path
) -> None:
    with pytest.raises((AssertionError, jsonschema.ValidationError), match=says):
        check(
            EVENTS,
            make=lambda path: wrong(path).handle,
            observe=rows,
            directory=tmp_path,
            histories=2,
        )


def test_the_kit_has_every_event_of_the_projected_topics_and_its_records_are_ours() -> None:
    types = {event.type_name() for event in (*get_args(PublicEvent), *get_args(PrivateEvent))}
    assert types < set(EVENTS.schemas)
    for type_ in types:
        record = EVENTS.record(type_, EVENTS.example(type_))
        event = events.decode(dict(record.headers), record.value)
        assert (f"fanfold.{event.topic}", event.key.encode()) == (record.topic, record.key)


def test_every_event_of_a_history_fits_its_schema() -> None:
    seen: set[str] = set()
    validators = {
        type_: jsonschema.Draft202012Validator(schema) for type_, schema in EVENTS.schemas.items()
    }
    for seed in range(5):
        for records in a_history(EVENTS, seed).partitions.values():
            for record in records:
                type_ = dict(record.headers)["ce_type"].decode()
                validators[type_].validate(json.loads(record.value))
                seen.add(type_)
    assert len(seen) == 9


def played(consumer: Consumer, log: FakeLog) -> None:
    for records in log.partitions.values():
        consumer.handle(records)


def test_the_leaderboard_has_the_most_followed_first_and_forgets_a_user_who_left(
    tmp_path: Path,
) -> None:
    log, board = FakeLog(EVENTS), Leaderboard(tmp_path / "db")
    for follower, followee in (
        ("a", "nova"),
        ("b", "nova"),
        ("b", "nova"),
        ("a", "bob"),
        ("a", "carl"),
    ):
        log.append("fanfold.UserFollowed.v1", follower_id=follower, followee_id=followee)
    log.append("fanfold.UserUnfollowed.v1", follower_id="a", followee_id="bob")
    log.append("fanfold.UserLeft.v1", user_id="carl")
    played(board, log)
    assert board.top(10) == [("nova", 2)]


def test_search_finds_edited_words_and_no_deleted_post(tmp_path: Path) -> None:
    log, index = FakeLog(EVENTS), Search(tmp_path / "db")
    ids = [f"00000000-0000-7000-8000-00000000000{number}" for number in range(3)]
    for post_id, text in zip(ids, ("Hello world", "Hello moon", 'Hello "sun"'), strict=True):
        log.append("fanfold.PostCreated.v1", post_id=post_id, author_id="bob", content=text)
    log.append("fanfold.PostEdited.v1", post_id=ids[1], author_id="bob", content="Goodbye moon")
    log.append("fanfold.PostDeleted.v1", post_id=ids[0], author_id="bob")
    played(index, log)
    assert index.find("hello") == [(ids[2], "bob", 'Hello "sun"')]
    assert index.find('"sun" OR') == []
    assert [found[0] for found in index.find("moon goodbye")] == [ids[1]]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[Notifications, httpx2.Client]]:
    notifications = Notifications(tmp_path / "db")
    with server(notifications, 0) as serving:
        thread = Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with httpx2.Client(base_url=f"http://127.0.0.1:{serving.server_address[1]}") as client:
            yield notifications, client
        serving.shutdown()
        thread.join()


def test_notifications_counts_what_is_unread_and_takes_back_what_ended(
    api: tuple[Notifications, httpx2.Client],
) -> None:
    notifications, client = api
    log = FakeLog(EVENTS)
    post_id = EVENTS.example("fanfold.PostLiked.v1")["post_id"]
    log.append("fanfold.UserFollowed.v1", follower_id="alice", followee_id="bob")
    log.append("fanfold.UserFollowed.v1", follower_id="carl", followee_id="bob")
    log.append("fanfold.UserUnfollowed.v1", follower_id="carl", followee_id="bob")
    for user in ("alice", "bob"):  # bob's like of his own post is no news
        log.append("fanfold.PostLiked.v1", author_id="bob", user_id=user, post_id=post_id)
    played(notifications, log)
    shown = client.get("/users/bob/notifications").json()
    assert shown["unread"] == 2
    assert {(item["kind"], item["by"], item["post_id"]) for item in shown["items"]} == {
        ("follow", "alice", None),
        ("like", "alice", post_id),
    }
    assert client.post("/users/bob/notifications/read").json()["unread"] == 0
    assert client.get("/users/bob/notifications").json()["items"][0]["read"] is True
    assert client.get("/users/alice/notifications").json() == {"unread": 0, "items": []}
    assert client.get("/users/bob/notifications/read").status_code == 404


def test_a_batch_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    log, board = FakeLog(EVENTS), Leaderboard(tmp_path / "db")
    for follower in ("a", "b"):
        log.append("fanfold.UserFollowed.v1", follower_id=follower, followee_id="nova")
    (records,) = log.partitions.values()
    broken = FakeRecord(**{**vars(records[1]), "value": b"{"})
    with pytest.raises(ValueError, match="Expecting"):
        board.handle([records[0], broken])
    assert (board.top(1), board.next_offset(records[0].topic, records[0].partition)) == ([], 0)
    board.handle(records)
    assert board.top(1) == [("nova", 2)]
