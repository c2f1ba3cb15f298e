"""`Posts` in memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import islice
from uuid import UUID

from fanfold.adapters.memory.cells import ClusteredTable, Table
from fanfold.core.clock import Clock
from fanfold.core.delivery import Delivery
from fanfold.core.ids import created_at_ms, first_post_id_at
from fanfold.core.ports import AuthoredPost, KeyReservation, Post

KEY_TTL_MS = 24 * 3600 * 1000


class MemoryPosts:
    """See `fanfold.core.ports.Posts`. The table of posts is handed in, for likes are counted in the same rows."""

    def __init__(self, posts: Table[UUID], *, clock: Clock) -> None:
        self._clock = clock
        self._posts = posts
        self._by_author: ClusteredTable[str, UUID] = ClusteredTable()
        self._keys: dict[tuple[str, str], tuple[int, KeyReservation]] = {}

    async def create(self, post_id: UUID, author_id: str, content: str) -> None:
        created = created_at_ms(post_id) * 1000
        self._posts.write(post_id, created, author_id=author_id, content=content)
        self._by_author.write(author_id, post_id, created)

    async def edit(self, post_id: UUID, content: str, *, edited_at_ms: int, offset: int) -> None:
        self._posts.write(
            post_id, offset, edited_content=content, edited_at=edited_at_ms, offset=offset
        )

    async def note_offset(self, post_id: UUID, *, offset: int) -> None:
        self._posts.write(post_id, offset, offset=offset)

    async def delete(self, post_id: UUID, *, offset: int) -> None:
        self._posts.write(post_id, offset, deleted=True, offset=offset)

    async def get(self, post_ids: Collection[UUID]) -> dict[UUID, Post]:
        found = {post_id: self._posts.row(post_id) for post_id in post_ids}
        return {
            post_id: Post(
                post_id=post_id,
                author_id=row["author_id"],
                content=row["edited_content"] if "edited_content" in row else row["content"],
                edited_at_ms=row.get("edited_at"),
                deleted=row.get("deleted", False),
                offset=row.get("offset"),
                like_count=row.get("like_count", 0),
                like_offset=row.get("like_offset"),
            )
            for post_id, row in found.items()
            if row is not None and "author_id" in row
        }

    async def set_delivery(
        self, author_id: str, post_id: UUID, delivery: Delivery, *, offset: int
    ) -> None:
        self._by_author.write(author_id, post_id, offset, delivery=delivery)

    async def by_author(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[AuthoredPost]:
        rows = self._by_author.rows(
            author_id, at_least=first_post_id_at(since_ms), below=before, descending=True
        )
        return [AuthoredPost(post_id, row.get("delivery")) for post_id, row in islice(rows, limit)]

    async def reserve_key(
        self, author_id: str, key: str, reservation: KeyReservation
    ) -> KeyReservation | None:
        held = self._held(author_id, key)
        if held is None:
            self._keep(author_id, key, reservation)
        return None if held == reservation else held

    async def take_over_key(
        self, author_id: str, key: str, held: KeyReservation, *, now_ms: int
    ) -> bool:
        if self._held(author_id, key) != held or held.answer is not None:
            return False
        self._keep(author_id, key, replace(held, reserved_at_ms=now_ms))
        return True

    async def release_key(self, author_id: str, key: str, held: KeyReservation) -> None:
        if self._held(author_id, key) == held and held.answer is None:
            self._keep(author_id, key, replace(held, reserved_at_ms=0))

    async def answer_key(self, author_id: str, key: str, held: KeyReservation, answer: str) -> None:
        # Whoever took it over kept the post id, so either one's answer is true: the first stays.
        now = self._held(author_id, key)
        if now is not None and now.post_id == held.post_id and now.answer is None:
            self._keep(author_id, key, replace(now, answer=answer))

    def _held(self, author_id: str, key: str) -> KeyReservation | None:
        expires_ms, held = self._keys.get((author_id, key), (0, None))
        return held if expires_ms > self._clock.now_ms() else None

    def _keep(self, author_id: str, key: str, reservation: KeyReservation) -> None:
        # Re-inserting keeps the dict in order of expiry, so that the expired are always in front.
        self._keys.pop((author_id, key), None)
        self._keys[author_id, key] = (self._clock.now_ms() + KEY_TTL_MS, reservation)
        while (oldest := next(iter(self._keys))) and self._keys[oldest][0] <= self._clock.now_ms():
            del self._keys[oldest]
