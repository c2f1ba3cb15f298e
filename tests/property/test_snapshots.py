"""A snapshot and the log since show what the whole log shows, whatever the log and wherever it is cut."""

from __future__ import annotations

import asyncio
import gzip
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.clock import SystemClock
from fanfold.core.events import (
    GRAPH,
    PUBLIC_TOPICS,
    AuthorModeChanged,
    Event,
    PostCreated,
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
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Span
from fanfold.ops.snapshot.form import Head, read_records
from fanfold.ops.snapshot.make import Counts, make_snapshot
from tests.support.examples import examples

USERS = ("a", "b")
POSTS = tuple(
    (UUID(int=(0x7000 << 64) | (0x8000 << 48) | number), USERS[number]) for number in range(2)
)
PARTITIONS = 2


class Log(NamedTuple):
    """Partitions of records; the view of a snapshot, up to some of their ends."""

    partitions: Mapping[tuple[str, int], Sequence[Record]]

    async def spans(self, topic: str) -> dict[int, Span]:
        return {
            number: Span(0, len(self.partitions.get((topic, number), ())))
            for number in range(PARTITIONS)
        }

    async def records(self, topic: str, spans: Mapping[int, Span]) -> list[Record]:
        return [
            record
            for number, (first, end) in spans.items()
            for record in self.partitions[topic, number][first:end]
        ]

    def cut(self, shares: Mapping[tuple[str, int], float]) -> Log:
        """The beginning of each partition."""
        return Log(
            {
                key: records[: round(len(records) * shares.get(key, 1))]
                for key, records in self.partitions.items()
            }
        )


def log_of(events: Iterable[Event], topic_of: Callable[[Event], str] = lambda e: e.topic) -> Log:
    partitions: dict[tuple[str, int], list[Record]] = {}
    for number, event in enumerate(events):
        encoded = encode(event, source="test", now_ms=1_800_000_000_000 + number)
        key = (topic_of(event), sum(encoded.key) % PARTITIONS)
        kept = partitions.setdefault(key, [])
        headers, at_ms = dict(encoded.headers), 1_800_000_000_000 + number
        kept.append(Record(*key, len(kept), encoded.key, encoded.value, headers, at_ms))
    return Log(partitions)


AT = st.integers(1_000, 9_000).map(from_ms)
USER, POST = st.sampled_from(USERS), st.sampled_from(POSTS)
TEXT = st.sampled_from(("one text", "another text"))
FIELD = st.sampled_from((None, "", "set"))


def an_event() -> st.SearchStrategy[Event]:
    def of_post(event: Callable[..., Event], time: str) -> st.SearchStrategy[Event]:
        more = {"content": TEXT} if time != "deleted_at" else {}
        return st.builds(
            lambda post, **rest: event(post_id=post[0], author_id=post[1], **rest),
            post=POST,
            **{time: AT},
            **more,
        )

    def of_like(event: Callable[..., Event], time: str) -> st.SearchStrategy[Event]:
        return st.builds(
            lambda post, user, **rest: event(
                post_id=post[0], author_id=post[1], user_id=user, **rest
            ),
            post=POST,
            user=USER,
            **{time: AT},
        )

    users = {"followee_id": USER, "follower_id": USER}
    return st.one_of(
        of_post(PostCreated, "created_at"),
        of_post(PostEdited, "edited_at"),
        of_post(PostDeleted, "deleted_at"),
        of_like(PostLiked, "liked_at"),
        of_like(PostUnliked, "unliked_at"),
        st.builds(UserFollowed, **users, followed_at=AT),
        st.builds(UserUnfollowed, **users, unfollowed_at=AT),
        st.builds(
            UserRegistered,
            user_id=USER,
            display_name=st.sampled_from(("Name", "Other name")),
            registered_at=AT,
            bio=FIELD,
            avatar_url=FIELD,
        ),
        st.builds(
            AuthorModeChanged,
            author_id=USER,
            delivery=st.sampled_from(("push", "pull")),
            follower_count=st.just(3),
            changed_at=AT,
            caused_by=st.integers(0, 9),
        ),
        st.builds(UserFellAsleep, user_id=USER, fell_asleep_at=AT),
        st.builds(UserWoke, user_id=USER, woke_at=AT),
        st.builds(UserMuted, user_id=USER, target_id=USER, muted_at=AT),
    )


HISTORY = st.builds(
    lambda events, leaves: [
        *events[: leaves[0]],
        *(UserLeft(user_id=user, left_at=from_ms(5_000)) for user in leaves[1]),
        *events[leaves[0] :],
    ],
    st.lists(an_event(), min_size=20, max_size=60),
    st.tuples(st.integers(0, 60), st.sets(USER, max_size=1)),
)
SHARES = st.dictionaries(
    st.tuples(st.sampled_from(PUBLIC_TOPICS), st.integers(0, PARTITIONS - 1)), st.floats(0, 1)
)


@dataclass
class View:
    """Everything that a consumer may show, by the rules of `schemas/README.md`."""

    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    delivery: dict[str, str] = field(default_factory=dict)
    begun: dict[tuple[str, ...], tuple[Any, Any]] = field(default_factory=dict)
    posts: dict[Any, dict[str, Any]] = field(default_factory=dict)
    deleted: set[Any] = field(default_factory=set)
    gone: dict[str, Any] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        match event:
            case UserRegistered(user_id=user):
                profile = self.profiles.setdefault(user, {"since": event.registered_at})
                given = event.model_dump(include={"display_name", "bio", "avatar_url"})
                profile |= {name: value for name, value in given.items() if value is not None}
                profile["changed_at"] = event.registered_at
            case UserLeft(user_id=user):
                self.gone.setdefault(user, event.left_at)
            case AuthorModeChanged(author_id=author):
                self.delivery[author] = event.delivery
            case PostCreated(post_id=post):
                if post not in self.posts and post not in self.deleted:
                    self.posts[post] = {"author": event.author_id, "text": event.content}
            case PostEdited(post_id=post):
                if post in self.posts:
                    self.posts[post] |= {"text": event.content, "edited": event.edited_at}
            case PostDeleted(post_id=post):
                self.posts.pop(post, None)
                self.deleted.add(post)
            case _:
                self._begin_or_end(event)

    def _begin_or_end(self, event: Event) -> None:
        data = event.model_dump()
        names = ("followee_id", "follower_id", "post_id", "author_id", "user_id")
        about = (event.topic, *(str(data.get(name)) for name in names))
        if isinstance(event, UserFollowed | PostLiked | UserFellAsleep):
            at = next(value for name, value in data.items() if name.endswith("_at"))
            # When it began, and the last event that said so.
            self.begun[about] = (self.begun.get(about, (at, at))[0], at)
        else:
            self.begun.pop(about, None)

    def shown(self) -> dict[str, Any]:
        """Without what users who left have taken with them."""
        return {
            "profiles": {u: found for u, found in self.profiles.items() if u not in self.gone},
            "delivery": {u: found for u, found in self.delivery.items() if u not in self.gone},
            "posts": {
                post: found
                for post, found in self.posts.items()
                if found["author"] not in self.gone
            },
            "begun": {
                about: found
                for about, found in self.begun.items()
                if about[0] == GRAPH or not self.gone.keys() & set(about)
            },
            "gone": self.gone,
        }


def view_of(*parts: Iterable[Record]) -> dict[str, Any]:
    view = View()
    for records in parts:
        for record in records:
            if record.topic in PUBLIC_TOPICS:
                view.apply(record.event())
    return view.shown()


def everything(log: Log) -> Iterator[Record]:
    return (record for records in log.partitions.values() for record in records)


def snapshot_of(log: Log, directory: Path) -> Head:
    return asyncio.run(make_snapshot(log, directory, clock=SystemClock())).head


def since(head: Head, log: Log) -> Iterator[Record]:
    ends = head.ends()
    return (
        record
        for record in everything(log)
        if record.offset >= ends.get((record.topic, record.partition), 0)
    )


def content(directory: Path) -> list[str]:
    """Every line of a snapshot's files, those that no head names included."""
    return [
        line
        for path in directory.rglob("*.gz")
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]


@given(HISTORY, SHARES)
@examples(25)
def test_a_snapshot_and_the_log_since_show_what_the_log_shows(
    events: list[Event], shares: dict[tuple[str, int], float]
) -> None:
    log = log_of(events)
    with tempfile.TemporaryDirectory() as work:
        head = snapshot_of(log.cut(shares), Path(work))
        lasting = list(read_records(Path(work), head, PUBLIC_TOPICS))
        lines = content(Path(work))
    assert view_of(lasting, since(head, log)) == view_of(everything(log))

    gone = {event.user_id for event in events if isinstance(event, UserLeft)} & {
        json.loads(line)["data"]["user_id"] for line in lines if "UserLeft" in line
    }
    found = [json.loads(line) for line in lines]
    assert {line["type"].split(".")[1] for line in found} <= {
        *("PostCreated", "PostEdited", "PostDeleted", "PostLiked", "AuthorModeChanged"),
        *("UserRegistered", "UserLeft", "UserFollowed", "UserFellAsleep"),
    }
    for line in found:
        if line["type"] not in {"fanfold.UserLeft.v1", "fanfold.UserFollowed.v1"}:
            assert not gone & {line["data"].get("user_id"), line["data"].get("author_id")}


@given(HISTORY, SHARES)
@examples(25)
def test_a_snapshot_that_goes_on_from_another_has_the_same_bytes_as_one_of_the_whole_log(
    events: list[Event], shares: dict[tuple[str, int], float]
) -> None:
    log = log_of(events)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        snapshot_of(log.cut(shares), Path(one))
        went_on, whole = snapshot_of(log, Path(one)), snapshot_of(log, Path(other))
        assert went_on.topics == whole.topics
        assert sorted(content(Path(one))) == sorted(content(Path(other)))


def test_a_private_event_is_left_out_even_of_a_public_topic(tmp_path: Path) -> None:
    muted = UserMuted(user_id="a", target_id="b", muted_at=from_ms(1_000))
    log = log_of([muted, UserLeft(user_id="c", left_at=from_ms(1_000))], lambda _: GRAPH)
    made = asyncio.run(make_snapshot(log, tmp_path, clock=SystemClock()))
    assert (made.counts.kept, made.counts.left_out) == (1, 1)
    assert [json.loads(line)["type"] for line in content(tmp_path)] == ["fanfold.UserLeft.v1"]
    assert made.counts == Counts(total=2, done=2, kept=1, left_out=1)
