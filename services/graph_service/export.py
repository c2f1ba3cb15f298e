"""What the tables hold about a user, as lines of JSON. It is read a page at a time, so a long export needs little memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

import orjson

from fanfold.core.buckets import buckets_up_to
from fanfold.core.clock import Clock, rfc3339
from fanfold.core.errors import Transient
from fanfold.core.ports import FollowerEdge, RecentLike, Stores, User

Line = dict[str, Any]

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Exports users. `page` is the number of rows that are read and answered at a time."""

    stores: Stores
    clock: Clock
    page: int = 100

    async def begin(self, user_id: str) -> tuple[User, bytes]:
        """The user's row and the first line. Raises `Unavailable`: the response has not begun, so it can still be a 503."""
        user = await self.stores.users.get(user_id)
        reads = await self.stores.activity.last_reads([user_id])
        profile = {
            "kind": "profile",
            "user_id": user_id,
            "display_name": user.display_name,
            "bio": user.bio,
            "avatar_url": user.avatar_url,
            "created_at": _time(user.registered_at_ms),
            "follower_count": user.follower_count,
            "post_count": user.post_count,
            "delivery": user.delivery,
            "asleep": user.asleep,
            "left": user.left,
            "last_read_at": rfc3339(reads[user_id]) if user_id in reads else None,
            "exported_at": rfc3339(self.clock.now_ms()),
        }
        return user, _lines([profile])

    async def rest(self, user: User) -> AsyncIterator[bytes]:
        """All other lines, some at a time. The last one is `end`, or `incomplete` when the tables stopped answering.

        A row that changes meanwhile may be exported as it was or as it became.
        """
        items = 1
        try:
            for part in (
                self._posts,
                self._following,
                self._followers,
                self._ties,
                self._likes,
            ):
                async for lines in part(user):
                    items += len(lines)
                    if lines:
                        yield _lines(lines)
        except Transient:
            detail = "The tables did not answer in time. Ask again for the whole."
            yield _lines([{"kind": "incomplete", "items": items, "detail": detail}])
        else:
            yield _lines([{"kind": "end", "items": items}])

    async def _posts(self, user: User) -> AsyncIterator[list[Line]]:
        """All posts, newest first, deleted ones too."""
        before: UUID | None = None
        while True:
            page = await self.stores.posts.by_author(
                user.user_id, before=before, since_ms=0, limit=self.page
            )
            posts = await self.stores.posts.get([pointer.post_id for pointer in page])
            yield [
                {
                    "kind": "post",
                    "post_id": str(post.post_id),
                    "content": post.content,
                    "created_at": rfc3339(post.created_at_ms),
                    "edited_at": _time(post.edited_at_ms),
                    "deleted": post.deleted,
                    "like_count": post.like_count,
                }
                for pointer in page
                if (post := posts.get(pointer.post_id)) is not None
            ]
            if len(page) < self.page:
                return
            before = page[-1].post_id

    async def _following(self, user: User) -> AsyncIterator[list[Line]]:
        follows = await self.stores.follows.following(user.user_id)
        for some in self._by_page(follows.values()):
            yield [
                _tie("following", follow.followee_id, follow.since_ms, active=follow.active)
                for follow in some
            ]

    async def _followers(self, user: User) -> AsyncIterator[list[Line]]:
        for bucket in buckets_up_to(user.generation):
            page: list[FollowerEdge] = []
            while True:
                after = page[-1].follower_id if page else None
                page = await self.stores.follows.followers(
                    user.user_id, bucket, after=after, limit=self.page
                )
                yield [
                    _tie("follower", edge.follower_id, edge.since_ms, active=edge.active)
                    for edge in page
                ]
                if len(page) < self.page:
                    break

    async def _ties(self, user: User) -> AsyncIterator[list[Line]]:
        """Mutes, and the blocks that the user made. Blocks by others are the others' data."""
        mutes = await self.stores.ties.mutes(user.user_id)
        for some in self._by_page(mutes.values()):
            yield [_tie("mute", mute.other_id, mute.since_ms, active=mute.active) for mute in some]
        blocks = await self.stores.ties.blocks_made(user.user_id)
        for some in self._by_page(blocks.values()):
            yield [
                _tie("block", block.other_id, block.since_ms, active=block.active) for block in some
            ]

    def _by_page(self, rows: Iterable[R]) -> Iterator[list[R]]:
        remaining = iter(rows)
        while page := list(islice(remaining, self.page)):
            yield page

    async def _likes(self, user: User) -> AsyncIterator[list[Line]]:
        page: list[RecentLike] = []
        while True:
            page = await self.stores.likes.recent(
                user.user_id, before=page[-1] if page else None, limit=self.page
            )
            yield [
                {
                    "kind": "like",
                    "post_id": str(like.post_id),
                    "author_id": like.author_id,
                    "liked_at": rfc3339(like.liked_at_ms),
                }
                for like in page
            ]
            if len(page) < self.page:
                return


def _tie(kind: str, other_id: str, since_ms: int, *, active: bool) -> Line:
    """A row stays when the tie ends. An end without a beginning leaves a row too."""
    return {"kind": kind, "user_id": other_id, "since": rfc3339(since_ms), "active": active}


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _lines(lines: Iterable[Line]) -> bytes:
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
