"""`Posts` in Cassandra."""

from __future__ import annotations

from collections.abc import Collection
from operator import attrgetter
from uuid import UUID

from fanfold.adapters.cassandra.author_walk import AuthorWalk
from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.multi_get import MultiGet
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession, Row
from fanfold.adapters.cassandra.timestamps import at_creation, at_offset
from fanfold.core.buckets import time_bucket
from fanfold.core.clock import Clock
from fanfold.core.delivery import Delivery
from fanfold.core.ports import AuthoredPost, Counted, Post

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
UPDATE posts USING TIMESTAMP ? SET edited_content = ?, edited_at_ms = ?, offset = ? WHERE post_id = ?
"""
NOTE_OFFSET = "UPDATE posts USING TIMESTAMP ? SET offset = ? WHERE post_id = ?"
DELETE = "UPDATE posts USING TIMESTAMP ? SET deleted = true, offset = ? WHERE post_id = ?"
GET = """
SELECT post_id, author_id, content, edited_content, edited_at_ms, deleted, offset, like_count, like_offset
FROM posts WHERE post_id IN ?
"""
COUNTED = "SELECT post_id, author_id, like_count, deleted FROM posts WHERE post_id IN ?"
SET_DELIVERY = """
UPDATE posts_by_author USING TIMESTAMP ? SET delivery = ?
WHERE author_id = ? AND time_bucket = ? AND post_id = ?
"""
BY_AUTHOR = """
SELECT author_id, time_bucket, post_id, delivery FROM posts_by_author
WHERE author_id IN ? AND time_bucket IN ? AND post_id < ? PER PARTITION LIMIT ?
"""


class CassandraPosts:
    """See `fanfold.core.ports.Posts`."""

    def __init__(
        self,
        session: CassandraSession,
        *,
        batches: BatchWriter,
        replica_sets: ReplicaSets,
        clock: Clock,
    ) -> None:
        self._session = session
        self._batches = batches
        self._create_post = session.statement(CREATE_POST)
        self._create_bucket = session.statement(CREATE_BUCKET)
        self._create_pointer = session.statement(CREATE_POINTER)
        self._edit = session.statement(EDIT)
        self._note_offset = session.statement(NOTE_OFFSET)
        self._delete = session.statement(DELETE)
        self._get, self._counted = (
            MultiGet[UUID](
                session,
                session.statement(statement),
                replica_sets=replica_sets,
                routing_key=attrgetter("bytes"),
            )
            for statement in (GET, COUNTED)
        )
        self._set_delivery = session.statement(SET_DELIVERY)
        self._by_author = AuthorWalk(
            session, session.statement(BY_AUTHOR), replica_sets=replica_sets, clock=clock
        )

    async def create(self, post_id: UUID, author_id: str, content: str) -> None:
        created, bucket = at_creation(post_id), time_bucket(post_id)
        row_of = self._session.packing
        # The pointer last: a reader that finds it finds the post and its bucket.
        await self._batches.write(
            [
                row_of(self._create_post).row(post_id, author_id, content, created),
                row_of(self._create_bucket).row(author_id, bucket, created),
            ]
        )
        await self._batches.write_row(self._create_pointer, author_id, bucket, post_id, created)

    async def edit(self, post_id: UUID, content: str, *, edited_at_ms: int, offset: int) -> None:
        await self._batches.write_row(
            self._edit, at_offset(offset), content, edited_at_ms, offset, post_id
        )

    async def note_offset(self, post_id: UUID, *, offset: int) -> None:
        await self._batches.write_row(self._note_offset, at_offset(offset), offset, post_id)

    async def delete(self, post_id: UUID, *, offset: int) -> None:
        await self._batches.write_row(self._delete, at_offset(offset), offset, post_id)

    async def get(self, post_ids: Collection[UUID]) -> dict[UUID, Post]:
        posts = map(_post, await self._get.rows(post_ids))
        return {post.post_id: post for post in posts if post is not None}

    async def counted(self, post_ids: Collection[UUID]) -> dict[UUID, Counted]:
        return {
            post_id: Counted(like_count or 0, bool(deleted))
            for post_id, author_id, like_count, deleted in await self._counted.rows(post_ids)
            if author_id is not None
        }

    async def set_delivery(
        self, author_id: str, post_id: UUID, delivery: Delivery, *, offset: int
    ) -> None:
        await self._batches.write_row(
            self._set_delivery,
            at_offset(offset),
            delivery,
            author_id,
            time_bucket(post_id),
            post_id,
        )

    async def by_author(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[AuthoredPost]:
        rows = await self._by_author.rows(author_id, before=before, since_ms=since_ms, limit=limit)
        return [AuthoredPost(*row) for row in rows]

    async def newest_by_authors(
        self, author_ids: Collection[str], *, since_ms: int, limit: int
    ) -> dict[str, list[AuthoredPost]]:
        rows_of = await self._by_author.newest(author_ids, since_ms=since_ms, limit=limit)
        return {
            author_id: [AuthoredPost(*row) for row in rows] for author_id, rows in rows_of.items()
        }


def _post(row: Row) -> Post | None:
    (
        post_id,
        author_id,
        content,
        edited_content,
        edited_at_ms,
        deleted,
        offset,
        likes,
        like_offset,
    ) = row
    if author_id is None:
        return None  # an edit, a deletion or a like was written before the post itself
    return Post(
        post_id=post_id,
        author_id=author_id,
        content=content if edited_content is None else edited_content,
        edited_at_ms=edited_at_ms,
        deleted=bool(deleted),
        offset=offset,
        like_count=likes or 0,
        like_offset=like_offset,
    )
