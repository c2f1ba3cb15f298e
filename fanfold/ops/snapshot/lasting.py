"""Which records of the public topics *last*: a snapshot keeps these, and leaves out those that a later one has overtaken.

A view that follows the rules of `schemas/README.md` is the same, whether it is made from all records or from those that last:

* Of a value that is set again, such as a post's text: the last record.
* Of a state that begins and ends, such as a follow: the first and the last record since its latest beginning; after its end, nothing.
* Of a user's profile: the first record, the last one, and the last one that sets each optional field, because null leaves a field as it
was.
* Of a post: the first record; of a deleted post, only the deletion.
* Of a user who left: no profile, post or like. Their follows end by events of their own.
* Of types that this version doesn't know: every event.

The records are in a SQLite file, so that memory is bounded whatever their number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from fanfold.core.errors import Undecodable
from fanfold.core.events import (
    EVENTS,
    ActivityEvent,
    AuthorModeChanged,
    GraphEvent,
    LikeEvent,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostEvent,
    PostLiked,
    PostUnliked,
    PublicEvent,
    UserFellAsleep,
    UserFollowed,
    UserLeft,
    UserRegistered,
    UserUnfollowed,
    UserWoke,
)
from fanfold.core.ports.log import Record
from fanfold.ops.snapshot.form import line_of

_KNOWN = {event.type_name().encode() for event in EVENTS}
_CACHE_KB = 65_536

_SCHEMA = """
CREATE TABLE IF NOT EXISTS gone (user_id TEXT PRIMARY KEY) WITHOUT ROWID;
DROP TABLE IF EXISTS lasting;
CREATE TABLE lasting (
    number INTEGER PRIMARY KEY, partition INTEGER NOT NULL, cell TEXT NOT NULL UNIQUE,
    "offset" INTEGER NOT NULL, user_id TEXT, other_id TEXT, line BLOB NOT NULL
);
CREATE INDEX of_partition ON lasting (partition);
"""
_SET = """
REPLACE INTO lasting (partition, cell, "offset", user_id, other_id, line) VALUES (?, ?, ?, ?, ?, ?)
"""
# A row that is replaced gets the next number, so numbers are in the order of offsets within a partition.
_OF = """
SELECT "offset", line FROM lasting WHERE partition = ?
AND (user_id IS NULL OR user_id NOT IN (SELECT user_id FROM gone))
AND (other_id IS NULL OR other_id NOT IN (SELECT user_id FROM gone))
ORDER BY number
"""


class Lasting:
    """The records of one topic that last. Records of a partition are added in order; those of `graph.v1` before the other topics'.

    A cell of the table is what one record may overtake another in. A record that several cells need is in the table once for each.
    """

    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        # The file is deleted at the end, and after a crash.
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KB}"):
            self._db.execute(f"PRAGMA {setting}")
        self.left_out = 0
        """Records that are no public event: without a JSON object, of another form than their type says, or private."""

    def close(self) -> None:
        self._db.close()

    def begin_topic(self) -> None:
        """Forget the records, but not who left."""
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")

    def add(self, record: Record, line: bytes | None = None) -> None:
        """The next record of its partition, with its line where it is from an earlier snapshot."""
        known = record.headers.get("ce_type", b"") in _KNOWN
        try:
            added = _Added(self._db, record, line or line_of(record))
            event = record.event() if known else None
        except (ValueError, Undecodable):
            self.left_out += 1
            return
        if event is None:
            added.set(f"other {record.partition} {record.offset}")
        elif isinstance(event, PublicEvent):
            _add(added, event)
        else:
            # A producer with the rights of an operator may append anything anywhere.
            self.left_out += 1

    def of(self, partition: int) -> Iterator[bytes]:
        """The lines that last, in the order of offsets."""
        last = -1
        for offset, line in self._db.execute(_OF, (partition,)):
            if offset != last:
                yield line
            last = offset


class _Added:
    """A record, and what it does to the table."""

    def __init__(self, db: sqlite3.Connection, record: Record, line: bytes) -> None:
        self._db, self._record, self._line = db, record, line

    def has(self, cell: str) -> bool:
        found = self._db.execute("SELECT 1 FROM lasting WHERE cell = ?", (cell,)).fetchone()
        return found is not None

    def set(self, cell: str, user_id: str | None = None, other_id: str | None = None) -> None:
        """This record lasts, in place of the one in the cell."""
        record = self._record
        row = (record.partition, cell, record.offset, user_id, other_id, self._line)
        self._db.execute(_SET, row)

    def begin(self, cell: str, *users: str) -> None:
        """It lasts as the first one, or as the last one."""
        self.set(f"{cell} again" if self.has(cell) else cell, *users)

    def end(self, *cells: str) -> None:
        """No record of the cells lasts."""
        self._db.executemany(
            "DELETE FROM lasting WHERE cell IN (?, ? || ' again')", [(cell, cell) for cell in cells]
        )

    def leave(self, user_id: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO gone VALUES (?)", (user_id,))


def _add(added: _Added, event: PublicEvent) -> None:
    if isinstance(event, GraphEvent):
        _add_of_graph(added, event)
    elif isinstance(event, PostEvent):
        _add_of_posts(added, event)
    elif isinstance(event, LikeEvent):
        _add_like(added, event)
    elif isinstance(event, ActivityEvent):
        _add_activity(added, event)
    else:
        assert_never(event)


def _add_of_graph(added: _Added, event: GraphEvent) -> None:
    match event:
        case UserRegistered(user_id=user):
            added.begin(f"name {user}", user)
            for field in ("bio", "avatar_url"):
                if getattr(event, field) is not None:
                    added.set(f"{field} {user}", user)
        case UserLeft(user_id=user):
            added.leave(user)
            added.begin(f"left {user}")
        case UserFollowed(followee_id=followee, follower_id=follower):
            added.begin(f"follow {followee} {follower}")
        case UserUnfollowed(followee_id=followee, follower_id=follower):
            added.end(f"follow {followee} {follower}")
        case AuthorModeChanged(author_id=author):
            added.set(f"delivery {author}", author)
        case _:
            assert_never(event)


def _add_of_posts(added: _Added, event: PostEvent) -> None:
    post, author = event.post_id, event.author_id
    deleted = added.has(f"deleted {post}")
    match event:
        case PostCreated():
            # The same one is appended again after a lost acknowledgement. If it came after an edit, it would undo the edit.
            if not (deleted or added.has(f"post {post}")):
                added.set(f"post {post}", author)
        case PostEdited():
            if not deleted:
                added.set(f"text {post}", author)
        case PostDeleted():
            added.end(f"post {post}", f"text {post}")
            added.begin(f"deleted {post}", author)
        case _:
            assert_never(event)


def _add_like(added: _Added, event: LikeEvent) -> None:
    cell = f"like {event.post_id} {event.user_id}"
    match event:
        case PostLiked():
            added.begin(cell, event.user_id, event.author_id)
        case PostUnliked():
            added.end(cell)
        case _:
            assert_never(event)


def _add_activity(added: _Added, event: ActivityEvent) -> None:
    cell = f"asleep {event.user_id}"
    match event:
        case UserFellAsleep():
            added.begin(cell, event.user_id)
        case UserWoke():
            added.end(cell)
        case _:
            assert_never(event)
