"""The fan-out worker driven by hand on the embedded stack: its batches are cut, and delivered again, by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.sqlite.file import IN_MEMORY
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.buckets import buckets_up_to
from fanfold.core.events import (
    COMMANDS,
    PROJECTED_TOPICS,
    Event,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostUnliked,
    UserBlocked,
    UserFollowed,
    UserMuted,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
    encode,
)
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.ports import Stores, User
from fanfold.core.ports.log import EventLog, Record
from fanfold.core.settings import Settings
from fanout_service.worker import Worker
from tests.support.clock import START_MS, ManualClock
from tests.support.crashes import Life, Mortal, mortal

TOPICS = (*PROJECTED_TOPICS, COMMANDS)
SMALL = Settings(pull_threshold=3, bucket_followers=2, take_events=5)
"""So that three followers make a celebrity, and three more open the next generation of buckets."""


# --- builders ------------------------------------------------------------------------------------------


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def a_post(*, by: str = "alice", content: str = "hello", ms: int = START_MS) -> PostCreated:
    return PostCreated(post_id=new_post_id(ms), author_id=by, content=content, created_at=at(ms))


def an_edit(of: PostCreated, content: str, *, by: str | None = None) -> PostEdited:
    author_id = by or of.author_id
    return PostEdited(
        post_id=of.post_id, author_id=author_id, content=content, edited_at=at(START_MS)
    )


def a_deletion(of: PostCreated, *, by: str | None = None) -> PostDeleted:
    return PostDeleted(post_id=of.post_id, author_id=by or of.author_id, deleted_at=at(START_MS))


def a_follow(follower: str, followee: str = "alice") -> UserFollowed:
    return UserFollowed(follower_id=follower, followee_id=followee, followed_at=at(START_MS))


def an_unfollow(follower: str, followee: str = "alice") -> UserUnfollowed:
    return UserUnfollowed(follower_id=follower, followee_id=followee, unfollowed_at=at(START_MS))


def a_mute(by: str, of: str = "alice", *, ms: int = START_MS) -> UserMuted:
    return UserMuted(user_id=by, target_id=of, muted_at=at(ms))


def an_unmute(by: str, of: str = "alice", *, ms: int = START_MS) -> UserUnmuted:
    return UserUnmuted(user_id=by, target_id=of, unmuted_at=at(ms))


def a_block(by: str, of: str = "alice", *, ms: int = START_MS) -> UserBlocked:
    """The event alone. The API appends the unfollows of both before it."""
    return UserBlocked(user_id=by, target_id=of, blocked_at=at(ms))


def an_unblock(by: str, of: str = "alice", *, ms: int = START_MS) -> UserUnblocked:
    return UserUnblocked(user_id=by, target_id=of, unblocked_at=at(ms))


def a_like(of: PostCreated, by: str, *, ms: int = START_MS) -> PostLiked:
    return PostLiked(post_id=of.post_id, author_id=of.author_id, user_id=by, liked_at=at(ms))


def an_unlike(of: PostCreated, by: str, *, ms: int = START_MS) -> PostUnliked:
    return PostUnliked(post_id=of.post_id, author_id=of.author_id, user_id=by, unliked_at=at(ms))


def a_record(
    event: Event, *, offset: int = 0, partition: int = 0, appended_at_ms: int = START_MS
) -> Record:
    topic, key, value, headers = encode(event, source="test", now_ms=START_MS)
    return Record(topic, partition, offset, key, value, dict(headers), appended_at_ms)


# --- the pipeline --------------------------------------------------------------------------------------


@dataclass
class Pipeline:
    """A log, tables, and a worker that can be replaced. Only `acknowledged` records are not delivered again."""

    settings: Settings
    clock: ManualClock
    log: SqliteLog
    stores: Stores
    acknowledged: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOPICS, 0))

    def worker(self, life: Life | None = None) -> Worker:
        """A new worker, as after a restart."""
        # Tests date events some seconds ahead of a clock that stands still.
        settings = self.settings.model_copy(update={"max_clock_skew_s": 60})
        if life is None:
            return Worker(settings, log=self.log, stores=self.stores, clock=self.clock)
        log: EventLog = Mortal(self.log, life)
        stores = mortal(self.stores, life)
        return Worker(settings, log=log, stores=stores, clock=self.clock)

    async def append(self, *events: Event) -> None:
        await self.log.append_many(events)

    async def step(self, worker: Worker, topic: str, *, limit: int, redelivers: int = 0) -> bool:
        """Handle one batch of a topic; then act as if the last `redelivers` of it were never acknowledged."""
        rows = await self.log.rows([topic], after=self.acknowledged[topic], limit=limit)
        if rows:
            await worker.handlers()[topic]([row.record for row in rows])
            settled = rows[: len(rows) - redelivers]
            if settled:
                self.acknowledged[topic] = settled[-1].seq
        return bool(rows)

    async def drain(self, worker: Worker | None = None) -> None:
        """Handle everything, and everything that follows from it."""
        worker = worker or self.worker()
        while any(
            [await self.step(worker, topic, limit=self.settings.take_events) for topic in TOPICS]
        ):
            pass

    async def handle(self, *events: Event) -> None:
        await self.append(*events)
        await self.drain()

    # What is in the tables.

    async def user(self, user_id: str) -> User:
        return (await self.stores.users.get_many([user_id])).get(user_id, User(user_id))

    async def followers(self, user_id: str) -> list[str]:
        """Active ones, sorted; one that is stored twice comes twice."""
        user = await self.user(user_id)
        buckets = [
            await self.stores.follows.followers(user_id, bucket)
            for bucket in buckets_up_to(user.generation)
        ]
        return sorted(edge.follower_id for bucket in buckets for edge in bucket if edge.active)

    async def timeline(self, user_id: str) -> list[UUID]:
        page = await self.stores.timelines.timeline(user_id, before=None, since_ms=0, limit=10_000)
        return [pointer.post_id for pointer in page]

    async def pulled(self, author_id: str) -> list[UUID]:
        """What a reader pulls of that author."""
        if await self.stores.pulled_authors.get(author_id) is None:
            return []
        return await self.stores.timelines.pulled(author_id, before=None, since_ms=0, limit=10_000)

    async def mode(self, post: PostCreated) -> str | None:
        authored = await self.stores.posts.by_author(
            post.author_id, before=None, since_ms=created_at_ms(post.post_id), limit=10_000
        )
        return next(pointer.delivery for pointer in authored if pointer.post_id == post.post_id)

    async def progress(self, post_id: UUID) -> tuple[str, int, int, bool]:
        """(strategy, planned, delivered, whether all slices are done)"""
        plan = await self.stores.jobs.plan(post_id)
        assert plan is not None
        done = await self.stores.jobs.slices_done(post_id)
        delivered = sum(slice_.delivered for slice_ in done.values())
        return plan.strategy, plan.planned, delivered, len(done) == plan.slices_total

    async def dead_letters(self) -> list[tuple[str, str]]:
        """(origin, reason) of each."""
        rows = await self.log.rows(["dead-letters.v1"], after=0, limit=10_000)
        headers = [row.record.headers for row in rows]
        return [
            (
                f"{h['ff_topic'].decode()}/{h['ff_partition'].decode()}/{h['ff_offset'].decode()}",
                h["ff_reason"].decode(),
            )
            for h in headers
        ]


@asynccontextmanager
async def a_pipeline(
    settings: Settings = SMALL, clock: ManualClock | None = None
) -> AsyncIterator[Pipeline]:
    clock = clock or ManualClock(autojump=True)
    async with SqliteLog(IN_MEMORY, clock=clock, source="test") as log:
        yield Pipeline(settings, clock, log, memory_stores(settings, clock=clock))
