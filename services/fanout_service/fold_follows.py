"""What a sequence of graph events does to one followee: pure, so that tests can cut it anywhere.

Two offsets distinguish replayed events from new ones. An edge includes events up to its `offset`; the followee's count includes
events up to `count_offset`. The count is written first, so after a crash between the two an event may be counted and
not yet in its edge, but never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fanfold.core.buckets import generation_for
from fanfold.core.delivery import Delivery, delivery_after
from fanfold.core.events import AuthorModeChanged, NewFollow, from_ms
from fanfold.core.ports import FollowerEdge, User


class FollowChange(NamedTuple):
    """A follow (`active`) or an unfollow, at a log offset; without a follower, the crossing that a review asked for."""

    follower_id: str | None
    active: bool
    happened_at_ms: int
    appended_at_ms: int
    offset: int
    review: AuthorModeChanged | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that the fold depends on."""

    pull_threshold: int
    pull_hysteresis: float
    bucket_followers: int


class FoldedFollows(NamedTuple):
    """What to write: the followee's row, the changed edges, the follows to backfill, and the crossings."""

    followee: User
    edges: list[FollowerEdge]
    to_backfill: list[NewFollow]
    crossings: list[AuthorModeChanged]


def fold_follows(
    followee: User, edges: Mapping[str, FollowerEdge], changes: Sequence[FollowChange], rules: Rules
) -> FoldedFollows:
    """Apply changes, in the order of their offsets, to the stored row and edges."""
    current = dict(edges)
    # A dict, not a set: writes keep the log's order.
    touched: dict[str, None] = {}
    fresh: set[str] = set()
    crossings: list[AuthorModeChanged] = []
    for change in changes:
        follower_id = change.follower_id
        edge = current.get(follower_id) if follower_id is not None else None
        if edge is not None and edge.offset > change.offset:
            continue  # a later event has been applied to this edge, and will be redelivered too
        # The end of a follow that never began leaves no edge: a user blocked by a million users would have a million.
        if follower_id is not None and (change.active or edge is not None):
            touched[follower_id] = None
            if edge is not None and edge.offset == change.offset:
                # The edge is written, but maybe not the follower's side of it, nor the backfill.
                fresh.add(follower_id)
                continue
            current[follower_id] = _edge_after(follower_id, edge, change)
            if change.active and not (edge is not None and edge.active):
                fresh.add(follower_id)
        if seen_by_count(followee) >= change.offset:
            continue
        # A review's crossing is in the log already: another follows only where this worker decides otherwise.
        announced = change.review.delivery if change.review else followee.delivery
        followee = _counted(followee, edge, change, rules)
        if followee.delivery != announced:
            crossings.append(_crossing(followee, change))
    for follower_id in touched.keys() - edges.keys():
        # The row's generation after all changes: a retry puts a new edge into the same one, wherever the first attempt was cut off.
        if followee.generation:
            current[follower_id] = replace(current[follower_id], generation=followee.generation)
    to_backfill = [
        NewFollow(follower_id, current[follower_id].follow_offset)
        for follower_id in touched
        if follower_id in fresh and current[follower_id].active
    ]
    return FoldedFollows(
        followee, [current[follower_id] for follower_id in touched], to_backfill, crossings
    )


def seen_by_count(followee: User) -> int:
    """The offset of the last event that the count includes; -1 before the first."""
    return -1 if followee.count_offset is None else followee.count_offset


def delivery_by(rules: Rules, follower_count: int, delivery: Delivery) -> Delivery:
    """`delivery_after` by these rules."""
    return delivery_after(
        follower_count, delivery, threshold=rules.pull_threshold, hysteresis=rules.pull_hysteresis
    )


def _counted(followee: User, edge: FollowerEdge | None, change: FollowChange, rules: Rules) -> User:
    count = followee.follower_count + change.active - (edge is not None and edge.active)
    coming_from = followee.delivery
    if change.review and change.review.caused_by == followee.count_offset:
        # Only if nothing was counted since: else this worker has decided already, and its crossings come later in the log.
        coming_from = change.review.delivery
    delivery = delivery_by(rules, count, coming_from)
    crossed_up = delivery == "pull" and followee.delivery == "push"
    return replace(
        followee,
        follower_count=count,
        generation=max(followee.generation, generation_for(count, rules.bucket_followers)),
        delivery=delivery,
        pull_since_ms=change.appended_at_ms if crossed_up else followee.pull_since_ms,
        count_offset=change.offset,
    )


def _crossing(author: User, change: FollowChange) -> AuthorModeChanged:
    # Every field comes from the log, so that a worker that folds the same events again appends the same crossing.
    return AuthorModeChanged(
        author_id=author.user_id,
        delivery=author.delivery,
        follower_count=author.follower_count,
        changed_at=from_ms(change.appended_at_ms),
        caused_by=change.offset,
    )


def _edge_after(follower_id: str, edge: FollowerEdge | None, change: FollowChange) -> FollowerEdge:
    if edge is None:
        return FollowerEdge(
            follower_id=follower_id,
            generation=0,  # replaced at the end of the fold, where it is another
            active=change.active,
            since_ms=change.happened_at_ms,
            follow_offset=change.offset,
            offset=change.offset,
        )
    if change.active and not edge.active:
        return replace(
            edge,
            active=True,
            since_ms=change.happened_at_ms,
            follow_offset=change.offset,
            offset=change.offset,
        )
    return replace(edge, active=change.active, offset=change.offset)
