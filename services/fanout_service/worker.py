"""The worker: one handler a topic, for any consumer of the log."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar, assert_never, get_args

from fanfold.core.clock import Clock
from fanfold.core.events import (
    ACTIVITY,
    COMMANDS,
    ENGAGEMENT,
    GRAPH,
    POSTS,
    TIES,
    ActivityEvent,
    BackfillFollow,
    Command,
    DeliverSlice,
    EndFollowers,
    EndFollowing,
    Event,
    GraphEvent,
    LikeEvent,
    MaterialiseTimeline,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostEvent,
    ReviewDelivery,
    TieEvent,
)
from fanfold.core.ports import Stores
from fanfold.core.ports.log import BatchHandler, EventLog, Record
from fanfold.core.settings import Settings
from fanout_service.backfill import Backfill
from fanout_service.blocked_follows import BlockedFollows
from fanout_service.edits import Edits
from fanout_service.fan_out_post import FanOutPost
from fanout_service.fold_follows import Rules
from fanout_service.follows import Follows
from fanout_service.keep_pulled import KeepPulled
from fanout_service.leaving import Leaving
from fanout_service.likes import CountLikes
from fanout_service.post_counts import PostCounts
from fanout_service.process_batch import BatchProcessor, Route
from fanout_service.recorded_event import RecordedEvent
from fanout_service.review_delivery import DeliveryReviews
from fanout_service.room import Room
from fanout_service.sleeping import Sleeping
from fanout_service.slices import Slices
from fanout_service.ties import Ties

E = TypeVar("E", bound=Event)


class Worker:
    """Projects the log into the tables.

    Records appended before `history_until_ms` are known to have been processed to the end by an earlier process.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        log: EventLog,
        stores: Stores,
        clock: Clock,
        history_until_ms: int = 0,
    ) -> None:
        self._processor = BatchProcessor(
            log=log,
            clock=clock,
            retry_budget_s=settings.retry_budget_s,
            dead_letter_limit=settings.dead_letter_limit,
            max_clock_skew_s=settings.max_clock_skew_s,
        )

        def slices() -> Slices:
            return _slices(settings, stores=stores, clock=clock, history_until_ms=history_until_ms)

        # Slices of large audiences apart from those delivered at once: a small post never waits behind the slices of a large
        # one.
        self._slices = slices()
        self._backfill = Backfill(
            stores=stores,
            log=log,
            clock=clock,
            retention_ms=settings.retention_ms,
            depth=settings.feed_depth,
        )
        post_counts = PostCounts(users=stores.users, jobs=stores.jobs)
        self._fan_out = _fan_out(settings, log=log, stores=stores, clock=clock, slices=slices())
        self._sleeping = Sleeping(stores=stores, log=log, backfill=self._backfill)
        self._edits = Edits(posts=stores.posts, post_counts=post_counts)
        self._likes = CountLikes(likes=stores.likes)
        rules = Rules(
            pull_threshold=settings.pull_threshold,
            pull_hysteresis=settings.pull_hysteresis,
            bucket_followers=settings.bucket_followers,
        )
        self._follows = Follows(stores=stores, log=log, backfill=self._backfill, rules=rules)
        self._reviews = DeliveryReviews(users=stores.users, log=log, rules=rules)
        self._blocked_follows = BlockedFollows(
            stores=stores, log=log, clock=clock, history_until_ms=history_until_ms
        )
        self._ties = Ties(stores=stores, blocked_follows=self._blocked_follows)
        self._leaving = Leaving(stores=stores, log=log, clock=clock)

    def handlers(self) -> Mapping[str, BatchHandler]:
        """A handler for each topic that the worker consumes, by logical name.

        Each returns when the whole batch is processed, and raises nothing but `Fault`.
        """
        likes, sleep = self._likes.project, self._sleeping.project
        return {
            POSTS: self._handler(Route(get_args(PostEvent), self._project_posts, _key)),
            GRAPH: self._handler(Route(get_args(GraphEvent), self._project_graph, _key)),
            TIES: self._handler(Route(get_args(TieEvent), self._ties.project, _key)),
            ENGAGEMENT: self._handler(Route(get_args(LikeEvent), likes, _together)),
            ACTIVITY: self._handler(Route(get_args(ActivityEvent), sleep, _key)),
            COMMANDS: self._handler(
                Route(get_args(Command), self._project_commands, _command_group)
            ),
        }

    def _handler(self, route: Route[E]) -> BatchHandler:
        async def handle(records: Sequence[Record]) -> None:
            await self._processor.process(records, route)

        return handle

    async def _project_posts(self, group: Sequence[RecordedEvent[PostEvent]]) -> None:
        created: list[RecordedEvent[PostCreated]] = []
        for record, event in group:
            if isinstance(event, PostCreated):
                created.append(RecordedEvent(record, event))
                continue
            # In the log's order, by which an author's posts are counted.
            await self._fan_out.project(created)
            created = []
            match event:
                case PostEdited():
                    await self._edits.edit(event, record)
                case PostDeleted():
                    await self._edits.delete(event, record)
                case _:
                    assert_never(event)
        await self._fan_out.project(created)

    async def _project_graph(self, group: Sequence[RecordedEvent[GraphEvent]]) -> None:
        # Edges first: the other two end late follows by what `Follows` has written.
        await self._follows.project(group)
        await self._leaving.project(group)
        await self._blocked_follows.project(group)

    async def _project_commands(self, group: Sequence[RecordedEvent[Command]]) -> None:
        slices: list[RecordedEvent[DeliverSlice]] = []
        review: RecordedEvent[ReviewDelivery] | None = None
        for record, event in group:
            match event:
                case DeliverSlice():
                    slices.append(RecordedEvent(record, event))
                case ReviewDelivery():
                    review = RecordedEvent(record, event)
                case BackfillFollow():
                    await self._backfill.project(event)
                case MaterialiseTimeline():
                    await self._sleeping.materialise(event)
                case EndFollowing():
                    await self._leaving.end_following(event, at_ms=record.appended_at_ms)
                case EndFollowers():
                    await self._leaving.end_followers(event, at_ms=record.appended_at_ms)
                case _:
                    assert_never(event)
        if slices:
            await self._slices.project(slices)
        if review:
            await self._reviews.project(review)


def _slices(settings: Settings, *, stores: Stores, clock: Clock, history_until_ms: int) -> Slices:
    return Slices(
        stores=stores,
        clock=clock,
        room=Room(settings.slices_in_flight * settings.bucket_followers),
        bucket_followers=settings.bucket_followers,
        history_until_ms=history_until_ms,
    )


def _fan_out(
    settings: Settings, *, log: EventLog, stores: Stores, clock: Clock, slices: Slices
) -> FanOutPost:
    return FanOutPost(
        stores=stores,
        log=log,
        clock=clock,
        slices=slices,
        post_counts=PostCounts(users=stores.users, jobs=stores.jobs),
        pulled_authors=KeepPulled(authors=stores.pulled_authors, clock=clock),
        overlap_ms=int(settings.overlap_s * 1000),
        retention_ms=settings.retention_ms,
    )


def _together(_: RecordedEvent[Event]) -> Hashable:
    """One group for all: a projection of many keys at once costs a fraction of one for each (docs/decisions/0069)."""
    return None


def _key(recorded: RecordedEvent[Event]) -> Hashable:
    return recorded.event.key


def _command_group(recorded: RecordedEvent[Command]) -> Hashable:
    """Groups the slices of one post, which share one read of the slices done, and the reviews of one author, which are one."""
    match recorded.event:
        case DeliverSlice(post_id=post_id):
            return post_id
        case ReviewDelivery(author_id=author_id):
            return "review", author_id
        case BackfillFollow() | MaterialiseTimeline() | EndFollowing() | EndFollowers():
            return recorded.record.position
        case _:
            assert_never(recorded.event)
