"""What a consumer's team runs in their own CI, without Kafka and without Fanfold: copy this file and `schemas/events`.

    from fanfold_testkit import Events, check

    def test_our_consumer_keeps_the_contract(tmp_path):
        check(Events(Path("schemas/events")), make=lambda path: OurConsumer(path).handle, observe=lambda path: OurConsumer(path).rows(), directory=tmp_path)

`check` plays histories of users who register, follow, post, like and leave, in every way in which a log may deliver them.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

PARTITIONS = 3
Payload = dict[str, Any]


@dataclass(frozen=True)
class FakeRecord:
    """A record, with the attributes that aiokafka's have."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


Handle = Callable[[Sequence[FakeRecord]], object]
"""Handles records of one partition, in order, and keeps their effects: what it has kept, it may be given again."""


class Events:
    """The events by their `ce_type`, as `schemas/events` describes them: the topic, the key, and an example of each."""

    def __init__(self, schemas: Path, prefix: str = "fanfold") -> None:
        found = [json.loads(path.read_text()) for path in sorted(schemas.glob("*.json"))]
        self.schemas = {
            schema["x-cloudevents-type"]: schema for schema in found if "x-key" in schema
        }
        self._prefix = prefix

    def example(self, type_: str) -> Payload:
        """A payload of its own."""
        (example,) = self.schemas[type_]["examples"]
        return dict(example)

    def record(self, type_: str, payload: Payload, offset: int = 0) -> FakeRecord:
        """The record that Fanfold would append."""
        schema = self.schemas[type_]
        key = str(payload[schema["x-key"]]).encode()
        headers = {
            "ce_specversion": "1.0",
            "ce_type": type_,
            "ce_id": str(offset),
            "ce_source": "fanfold/testkit",
        }
        return FakeRecord(
            topic=f"{self._prefix}.{schema['x-topic']}",
            partition=zlib.crc32(key) % PARTITIONS,
            offset=offset,
            key=key,
            value=json.dumps(payload).encode(),
            headers=[
                (name, text.encode())
                for name, text in {**headers, "content-type": "application/json"}.items()
            ],
        )


class FakeLog:
    """Records by partition, as Kafka keeps them: in order within a key, in no order between partitions."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self.partitions: dict[tuple[str, int], list[FakeRecord]] = {}

    def append(self, type_: str, **payload: Any) -> None:
        """An event without the fields that are not named is completed from the example."""
        record = self._events.record(type_, {**self._events.example(type_), **payload})
        kept = self.partitions.setdefault((record.topic, record.partition), [])
        kept.append(FakeRecord(**{**vars(record), "offset": len(kept)}))

    def batches(self, size: int, order: random.Random) -> Iterator[list[FakeRecord]]:
        """Everything, in batches of one partition; which partition is next is chance."""
        left = {where: list(records) for where, records in self.partitions.items()}
        while left:
            where = order.choice(sorted(left))
            yield left[where][:size]
            del left[where][:size]
            if not left[where]:
                del left[where]


def a_history(events: Events, seed: int, length: int = 100) -> FakeLog:
    """Users who act at random, at times that pass. Repeats what may be repeated; users who have left do nothing more."""
    chance, log = random.Random(seed), FakeLog(events)
    users = [f"user-{number}" for number in range(6)]
    posts: list[tuple[str, str]] = []
    for user in users:
        log.append(
            "fanfold.UserRegistered.v1",
            user_id=user,
            display_name=user.title(),
            registered_at=_at(0),
        )
    for second in range(1, length):
        one, other, at = *chance.sample(users, 2), _at(second)
        post_id = str(UUID(int=(second << 80) | (0x7000 << 64) | (0x8000 << 48) | seed))
        post, author = chance.choice(posts or [(post_id, one)])
        match chance.choices(
            ("post", "edit", "delete", "follow", "unfollow", "like", "unlike", "leave"),
            (6, 2, 1, 6, 2, 4, 2, 0.2),
        )[0]:
            case "post":
                log.append(
                    "fanfold.PostCreated.v1",
                    post_id=post_id,
                    author_id=one,
                    content=f"words {second} of {one}",
                    created_at=at,
                )
                posts.append((post_id, one))
                if chance.random() < 0.2:  # a lost acknowledgement: the same event, once more
                    log.append(
                        "fanfold.PostCreated.v1",
                        post_id=post_id,
                        author_id=one,
                        content=f"words {second} of {one}",
                        created_at=at,
                    )
            case "edit" if posts:
                log.append(
                    "fanfold.PostEdited.v1",
                    post_id=post,
                    author_id=author,
                    content=f"other words {second}",
                    edited_at=at,
                )
            case "delete" if posts:
                log.append("fanfold.PostDeleted.v1", post_id=post, author_id=author, deleted_at=at)
                posts.remove((post, author))
            case "follow":
                log.append(
                    "fanfold.UserFollowed.v1", follower_id=one, followee_id=other, followed_at=at
                )
            case "unfollow":
                log.append(
                    "fanfold.UserUnfollowed.v1",
                    follower_id=one,
                    followee_id=other,
                    unfollowed_at=at,
                )
            case "like" if posts:
                log.append(
                    "fanfold.PostLiked.v1", post_id=post, author_id=author, user_id=one, liked_at=at
                )
            case "unlike" if posts:
                log.append(
                    "fanfold.PostUnliked.v1",
                    post_id=post,
                    author_id=author,
                    user_id=one,
                    unliked_at=at,
                )
            case "leave" if len(users) > 3:
                log.append("fanfold.UserLeft.v1", user_id=one, left_at=at)
                users.remove(one)
                posts = [(post, author) for post, author in posts if author != one]
                for still in users:  # as Fanfold does, a little later
                    log.append(
                        "fanfold.UserUnfollowed.v1",
                        follower_id=one,
                        followee_id=still,
                        unfollowed_at=at,
                    )
    return log


def check(
    events: Events,
    *,
    make: Callable[[Path], Handle],
    observe: Callable[[Path], Any],
    directory: Path,
    histories: int = 5,
) -> None:
    """Assert that a consumer keeps the contract. `make` opens it on a file, new or not, and `observe` reads what the file says."""
    odd = directory / "odd"
    handle = make(odd)
    for offset, type_ in enumerate(events.schemas):
        added = {**events.example(type_), "added_in_a_later_version": {"anything": 1}}
        handle([events.record(type_, added, offset=offset)])
    known = events.record(
        "fanfold.UserLeft.v1", events.example("fanfold.UserLeft.v1"), offset=len(events.schemas)
    )
    handle(
        [FakeRecord(**{**vars(known), "headers": [("ce_type", b"fanfold.FromALaterVersion.v1")]})]
    )
    for seed in range(histories):
        log = a_history(events, seed)
        seen = {
            how: _played(log, how, make, observe, directory / f"{seed}-{how}")
            for how in (
                "in batches",
                "one by one",
                "in another order",
                "each batch twice",
                "with restarts",
            )
        }
        expected = seen["in batches"]
        for how, found in seen.items():
            assert found == expected, f"history {seed}, {how}: {found} is not {expected}"


def _played(
    log: FakeLog,
    how: str,
    make: Callable[[Path], Handle],
    observe: Callable[[Path], Any],
    path: Path,
) -> Any:
    handle = make(path)
    order = random.Random("another" if how == "in another order" else "one")
    last: dict[tuple[str, int], list[FakeRecord]] = {}
    for batch in log.batches(1 if how == "one by one" else 7, order):
        handle(batch)
        if how == "each batch twice":
            handle(batch)
        if how == "with restarts":
            # A new process, which begins somewhere before the end of what the old one kept.
            handle = make(path)
            before = last.get((batch[0].topic, batch[0].partition), [])
            handle([*before, *batch][-len(batch) - 3 :])
            last[batch[0].topic, batch[0].partition] = batch
    return observe(path)


def _at(second: int) -> str:
    return (
        datetime.fromtimestamp(1_800_000_000 + second, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
