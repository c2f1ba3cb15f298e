"""The worker: one handler a topic, for whichever consumer reads the log."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence

from fanfold.core.clock import Clock
from fanfold.core.events import (
    ACTIVITY,
    COMMANDS,
    ENGAGEMENT,
    GRAPH,
    POSTS,
    TIES,
    BackfillFollow,
    DeliverSlice,
    EndFollowers,
    EndFollowing,
    MaterialiseTimeline,
    PostCreated,
    PostDeleted,
    PostEdited,
    ReviewDelivery,
)
from fanfold.core.ports import Stores
from fanfold.core.ports.log import BatchHandler, EventLog, Record
from fanfold.core.settings import Settings
from fanout_service.backfill import Backfill
from fanout_service.edits import Edits
from fanout_service.entries import Entry
from fanout_service.fan_out_post import FanOutPost
from fanout_service.fold_follows import Rules
from fanout_service.follows import Follows
from fanout_service.leaving import Leaving
from fanout_service.likes import CountLikes
from fanout_service.review_delivery import DeliveryReviews
from fanout_service.settle import Route, Settler
from fanout_service.sleeping import Sleeping
from fanout_service.slices import Slices
from fanout_service.ties import Ties


class Worker:
    """Projects the log into the tables."""

    def __init__(self, settings: Settings, *, log: EventLog, stores: Stores, clock: Clock) -> None:
        self._settler = Settler(
            log=log,
            clock=clock,
            retry_budget_s=settings.retry_budget_s,
            dead_letter_limit=settings.dead_letter_limit,
        )

        def slices() -> Slices:
            free = asyncio.Semaphore(settings.slices_in_flight)
            return Slices(stores=stores, clock=clock, free=free)

        # Those of large audiences, and those delivered at once: apart, so that a small post never queues for its
        # turn behind the slices of a large one.
        self._slices = slices()
        self._backfill = Backfill(
            stores=stores, log=log, clock=clock, retention_ms=settings.retention_ms
        )
        self._fan_out = FanOutPost(
            stores=stores,
            log=log,
            clock=clock,
            slices=slices(),
            overlap_ms=int(settings.overlap_s * 1000),
            retention_ms=settings.retention_ms,
        )
        self._sleeping = Sleeping(stores=stores, log=log, backfill=self._backfill)
        self._edits = Edits(posts=stores.posts)
        self._likes = CountLikes(likes=stores.likes)
        rules = Rules(
            pull_threshold=settings.pull_threshold,
            pull_hysteresis=settings.pull_hysteresis,
            bucket_followers=settings.bucket_followers,
        )
        self._follows = Follows(stores=stores, log=log, backfill=self._backfill, rules=rules)
        self._reviews = DeliveryReviews(users=stores.users, log=log, rules=rules)
        self._ties = Ties(stores=stores)
        self._leaving = Leaving(stores=stores, log=log, clock=clock)

    def handlers(self) -> Mapping[str, BatchHandler]:
        """A handler for each topic the worker consumes, by logical name.

        Each returns when the whole batch is settled, and raises nothing but `Fault`.
        """
        routes = {
            POSTS: Route(self._project_post, _key, together=False),
            GRAPH: Route(self._project_graph, _key, together=True),
            TIES: Route(self._ties.project, _key, together=True),
            ENGAGEMENT: Route(self._likes.project, _key, together=True),
            ACTIVITY: Route(self._sleeping.project, _key, together=True),
            COMMANDS: Route(self._project_commands, _command_group, together=True),
        }
        return {topic: self._handler(route) for topic, route in routes.items()}

    def _handler(self, route: Route) -> BatchHandler:
        async def handle(records: Sequence[Record]) -> None:
            await self._settler.settle(records, route)

        return handle

    async def _project_post(self, entries: Sequence[Entry]) -> None:
        for record, event in entries:
            match event:
                case PostCreated():
                    await self._fan_out.project(event, record)
                case PostEdited():
                    await self._edits.edit(event, record)
                case PostDeleted():
                    await self._edits.delete(event, record)

    async def _project_graph(self, entries: Sequence[Entry]) -> None:
        # Each takes its own events of the group. Follows first: `Leaving` ends late ones by what they have written.
        await self._follows.project(entries)
        await self._leaving.project(entries)

    async def _project_commands(self, entries: Sequence[Entry]) -> None:
        await self._slices.project(entries)
        await self._reviews.project(entries)
        for _, event in entries:
            match event:
                case BackfillFollow():
                    await self._backfill.project(event)
                case MaterialiseTimeline():
                    await self._sleeping.materialise(event)
                case EndFollowing():
                    await self._leaving.end_following(event)
                case EndFollowers():
                    await self._leaving.end_followers(event)


def _key(entry: Entry) -> Hashable:
    return entry.event.key


def _command_group(entry: Entry) -> Hashable:
    """The slices of one post share one look at what is done, the reviews of one author are one; all else goes alone."""
    match entry.event:
        case DeliverSlice(post_id=post_id):
            return post_id
        case ReviewDelivery(author_id=author_id):
            return "review", author_id
        case _:
            return entry.record.position
