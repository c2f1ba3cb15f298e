"""`Posts` in Cassandra."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from uuid import UUID

from fanfold.adapters.cassandra.author_walk import AuthorWalk
from fanfold.adapters.cassandra.idempotency import IdempotencyKeys
from fanfold.adapters.cassandra.session import CassandraSession, Row
from fanfold.adapters.cassandra.timestamps import at_creation, at_offset
from fanfold.core.buckets import time_bucket
from fanfold.core.clock import Clock
from fanfold.core.ports import AuthoredPost, Mode, Post

CREATE_POST = """
INSERT INTO posts (post_id, author_id, content) VALUES (?, ?, ?) USING TIMESTAMP ?
"""
CREATE_BUCKET = """
INSERT INTO author_buckets (author_id, time_bucket) VALUES (?, ?) USING TIMESTAMP ?
"""
CREATE_POINTER = """
INSERT INTO posts_by_author (author_id, time_bucket, post_id) VALUES (?, ?, ?) USING TIMESTAMP ?
"""
EDIT = """
UPDATE posts USING TIMESTAMP ? SET edited_content = ?, edited_at_ms = ?, position = ? WHERE post_id = ?
"""
NOTE_POSITION = "UPDATE posts USING TIMESTAMP ? SET position = ? WHERE post_id = ?"
DELETE = "UPDATE posts USING TIMESTAMP ? SET deleted = true, position = ? WHERE post_id = ?"
GET = """
SELECT author_id, content, edited_content, edited_at_ms, deleted, position, like_count, like_position
FROM posts WHERE post_id = ?
"""
SET_MODE = """
UPDATE posts_by_author USING TIMESTAMP ? SET mode = ?
WHERE author_id = ? AND time_bucket = ? AND post_id = ?
"""
BY_AUTHOR = """
SELECT post_id, mode FROM posts_by_author
WHERE author_id = ? AND time_bucket = ? AND post_id < ? AND post_id >= ? LIMIT ?
"""


class CassandraPosts(IdempotencyKeys):
    """See `fanfold.core.ports.Posts`."""

    def __init__(self, session: CassandraSession, *, clock: Clock) -> None:
        super().__init__(session)
        self._session = session
        self._walk = AuthorWalk(session, clock=clock)
        self._create_post = session.statement(CREATE_POST)
        self._create_bucket = session.statement(CREATE_BUCKET)
        self._create_pointer = session.statement(CREATE_POINTER)
        self._edit = session.statement(EDIT)
        self._note_position = session.statement(NOTE_POSITION)
        self._delete = session.statement(DELETE)
        self._get = session.statement(GET)
        self._set_mode = session.statement(SET_MODE)
        self._by_author = session.statement(BY_AUTHOR)

    async def create(self, post_id: UUID, author_id: str, content: str) -> None:
        created, bucket = at_creation(post_id), time_bucket(post_id)
        run = self._session.run
        # The pointer last: who finds it finds the post, and its bucket.
        await asyncio.gather(
            run(self._create_post, post_id, author_id, content, created),
            run(self._create_bucket, author_id, bucket, created),
        )
        await run(self._create_pointer, author_id, bucket, post_id, created)

    async def edit(self, post_id: UUID, content: str, *, edited_at_ms: int, at: int) -> None:
        await self._session.run(self._edit, at_offset(at), content, edited_at_ms, at, post_id)

    async def note_position(self, post_id: UUID, *, at: int) -> None:
        await self._session.run(self._note_position, at_offset(at), at, post_id)

    async def delete(self, post_id: UUID, *, at: int) -> None:
        await self._session.run(self._delete, at_offset(at), at, post_id)

    async def get(self, post_ids: Collection[UUID]) -> dict[UUID, Post]:
        ids = list(dict.fromkeys(post_ids))
        rows = await asyncio.gather(*(self._session.row(self._get, post_id) for post_id in ids))
        posts = (
            _post(post_id, row) for post_id, row in zip(ids, rows, strict=True) if row is not None
        )
        return {post.post_id: post for post in posts if post is not None}

    async def set_mode(self, author_id: str, post_id: UUID, mode: Mode, *, at: int) -> None:
        await self._session.run(
            self._set_mode, at_offset(at), mode, author_id, time_bucket(post_id), post_id
        )

    async def by_author(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[AuthoredPost]:
        rows = await self._walk.rows(
            self._by_author, author_id, before=before, since_ms=since_ms, limit=limit
        )
        return [AuthoredPost(*row) for row in rows]

    async def ping(self) -> None:
        await self._session.ping()


def _post(post_id: UUID, row: Row) -> Post | None:
    author_id, content, edited_content, edited_at_ms, deleted, position, likes, like_position = row
    if author_id is None:
        return None  # an edit, a deletion or a like came before the post itself
    return Post(
        post_id=post_id,
        author_id=author_id,
        content=content if edited_content is None else edited_content,
        edited_at_ms=edited_at_ms,
        deleted=bool(deleted),
        position=position,
        like_count=likes or 0,
        like_position=like_position,
    )
