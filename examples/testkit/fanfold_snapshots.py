"""Snapshots of a `FakeLog`, in the form of `fanfold events snapshot`, to test that a consumer may begin with one. Copy it with `fanfold_testkit.py`.

def test_our_consumer_may_begin_with_a_snapshot(tmp_path):
check_from_snapshot(Events(Path("schemas/events")), make=lambda path: OurConsumer(path).handle,
load=lambda path, snapshot: OurConsumer(path).load(snapshot), observe=lambda path: OurConsumer(path).rows(), directory=tmp_path)
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fanfold_testkit import Events, FakeLog, FakeRecord, Handle, a_history

Partition = tuple[str, int]
_TIME = "2027-01-15T08:00:00.000Z"
_BEGINS = {"UserRegistered", "UserFollowed", "PostLiked", "UserFellAsleep", "UserLeft"}
_ENDS = {
    "UserUnfollowed": "UserFollowed",
    "PostUnliked": "PostLiked",
    "UserWoke": "UserFellAsleep",
}
_IDS = ("followee_id", "follower_id", "post_id", "user_id", "author_id")


def check_from_snapshot(
    events: Events,
    *,
    make: Callable[[Path], Handle],
    load: Callable[[Path, Path], object],
    observe: Callable[[Path], Any],
    directory: Path,
    histories: int = 5,
) -> None:
    """Assert that a consumer shows the same, whether it begins with the log or with a snapshot of any part of it.

    `load` loads the snapshot in the second directory into the new file. `make` and `observe` are those of `check`.
    """
    for seed in range(histories):
        log, chance = a_history(events, seed), random.Random(seed)
        handle = make(directory / f"{seed}-log")
        for records in log.partitions.values():
            handle(records)
        ends = {where: chance.randint(0, len(records)) for where, records in log.partitions.items()}
        load(
            directory / f"{seed}-snapshot",
            write_snapshot(log, ends, directory / f"{seed}-files"),
        )
        handle = make(directory / f"{seed}-snapshot")
        for where, records in log.partitions.items():
            if since := records[ends[where] :]:
                handle(since)
        expected = observe(directory / f"{seed}-log")
        found = observe(directory / f"{seed}-snapshot")
        assert found == expected, f"history {seed}, from a snapshot: {found} is not {expected}"


def write_snapshot(
    log: FakeLog, ends: Mapping[Partition, int], directory: Path, prefix: str = "fanfold"
) -> Path:
    """The snapshot of the records before those offsets; of everything, in a partition that is not named."""
    cut = {where: records[: ends.get(where)] for where, records in log.partitions.items()}
    gone = {
        data["user_id"]
        for records in cut.values()
        for type_, data in map(_read, records)
        if type_ == "UserLeft"
    }
    topics: dict[str, list[dict[str, Any]]] = {
        topic: [] for topic in ("posts.v1", "graph.v1", "engagement.v1", "activity.v1")
    }
    directory.mkdir(parents=True)
    for (topic, partition), records in sorted(cut.items()):
        name = topic.removeprefix(f"{prefix}.")
        if name not in topics:
            continue  # a private topic
        lasting = sorted(_lasting(records, gone), key=lambda record: record.offset)
        packed = gzip.compress("".join(map(_line, lasting)).encode(), mtime=0)
        file = directory / f"{name}-{partition}.jsonl.gz"
        file.write_bytes(packed)
        topics[name].append(
            {
                "partition": partition,
                "file": file.name,
                "end_offset": len(records),
                "as_of": _TIME if records else None,
                "records": len(lasting),
                "sha256": hashlib.sha256(packed).hexdigest(),
            }
        )
    head = {"format": 1, "made_at": _TIME, "topics": topics}
    (directory / "snapshot.json").write_text(json.dumps(head))
    return directory


def _lasting(records: Sequence[FakeRecord], gone: set[str]) -> Iterator[FakeRecord]:
    cells: dict[tuple[Any, ...], FakeRecord] = {}
    for record in records:
        type_, data = _read(record)
        about = tuple(data.get(name) for name in _IDS)
        if type_ in _ENDS:
            cells.pop((_ENDS[type_], *about), None)
            cells.pop((_ENDS[type_], *about, "again"), None)
        elif type_ in _BEGINS:
            again = ("again",) if (type_, *about) in cells else ()
            cells[type_, *about, *again] = record
            if type_ == "UserRegistered":
                for field in ("bio", "avatar_url"):
                    if data.get(field) is not None:
                        cells[field, *about] = record
        elif type_ == "PostDeleted":
            cells.pop(("PostCreated", *about), None)
            cells.pop(("PostEdited", *about), None)
            cells.setdefault((type_, *about), record)
        elif type_ in {"PostCreated", "PostEdited"}:
            if ("PostDeleted", *about) not in cells:
                if type_ == "PostEdited":
                    cells.pop((type_, *about), None)
                cells.setdefault((type_, *about), record)
        elif type_ == "AuthorModeChanged":
            cells[type_, *about] = record
        else:
            cells[type_, record.offset] = record
    unique = {record.offset: record for record in cells.values()}
    yield from (record for record in unique.values() if not _erased(record, gone))


def _erased(record: FakeRecord, gone: set[str]) -> bool:
    type_, data = _read(record)
    if type_ in {"UserLeft", "UserFollowed"}:
        return False
    return data.get("user_id") in gone or data.get("author_id") in gone


def _read(record: FakeRecord) -> tuple[str, Any]:
    """The event's name and payload. A type that isn't known here keeps its whole name."""
    type_ = dict(record.headers)["ce_type"].decode()
    return type_.removeprefix("fanfold.").removesuffix(".v1"), json.loads(record.value)


def _line(record: FakeRecord) -> str:
    headers = {name: value.decode() for name, value in record.headers}
    event = {
        "specversion": "1.0",
        "id": headers["ce_id"],
        "source": headers["ce_source"],
        "type": headers["ce_type"],
        "time": _TIME,
        "datacontenttype": "application/json",
        "partitionkey": record.key.decode(),
        "sequence": f"{record.offset:019}",
        "recordedtime": _TIME,
        "data": json.loads(record.value),
    }
    return json.dumps(event) + "\n"
