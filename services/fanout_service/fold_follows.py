"""What a run of follow events does to one followee: pure, so that every cut of the run can be tried.

Replays are told from news by two offsets. An edge's `offset` says which events the edge has seen; the
followee's `count_offset` says which events the count has seen, and it is always ahead of the edges, because
the count is written first. So after a crash between the two, an event may be counted and not yet placed, but
never placed and not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fanfold.core.buckets import generation_for
from fanfold.core.delivery import Delivery, delivery_after
from fanfold.core.events import AuthorModeChanged, NewFollow, from_ms
from fanfold.core.ports import FollowerEdge, User


class Change(NamedTuple):
    """A follow (`active`) or an unfollow, at a log offset; without a follower, the crossing that a review asked for."""

    follower_id: str | None
    active: bool
    happened_at_ms: int
    appended_at_ms: int
    offset: int
    review: AuthorModeChanged | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the fold must know of the settings."""

    pull_threshold: int
    pull_hysteresis: float
    bucket_followers: int


class Folded(NamedTuple):
    """What to write: the followee's standing, the edges touched, the follows to backfill, and the crossings."""

    followee: User
    edges: list[FollowerEdge]
    to_backfill: list[NewFollow]
    crossings: list[AuthorModeChanged]


def fold_follows(
    followee: User, edges: Mapping[str, FollowerEdge], changes: Sequence[Change], rules: Rules
) -> Folded:
    """Apply changes, in the order of their offsets, to what is stored."""
    current = dict(edges)
    # Dicts, not sets: the order of the writes stays that of the log.
    touched: dict[str, None] = {}
    fresh: set[str] = set()
    crossings: list[AuthorModeChanged] = []
    for change in changes:
        follower_id = change.follower_id
        edge = current.get(follower_id) if follower_id is not None else None
        if edge is not None and edge.offset > change.offset:
            continue  # superseded: a later event has been applied, and it comes again as well
        # An end of what never was leaves no edge, or whoever is blocked by a million would have a million of them.
        if follower_id is not None and (change.active or edge is not None):
            touched[follower_id] = None
            if edge is not None and edge.offset == change.offset:
                # Placed, but what follows may not have happened: the follower's side of the edge, and the backfill.
                fresh.add(follower_id)
                continue
            current[follower_id] = _place(follower_id, edge, change)
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
        # The newest generation after the whole run, which the row will say: a retry of the run then finds the same
        # place for a new edge, wherever the first try was cut off.
        current[follower_id] = replace(current[follower_id], generation=followee.generation)
    to_backfill = [
        NewFollow(follower_id, current[follower_id].follow_offset)
        for follower_id in touched
        if follower_id in fresh and current[follower_id].active
    ]
    return Folded(followee, [current[each] for each in touched], to_backfill, crossings)


def seen_by_count(followee: User) -> int:
    """The offset of the last event that the count has seen; -1 before the first."""
    return -1 if followee.count_offset is None else followee.count_offset


def decided(follower_count: int, delivery: Delivery, rules: Rules) -> Delivery:
    """`delivery_after` by these rules."""
    return delivery_after(
        follower_count, delivery, threshold=rules.pull_threshold, hysteresis=rules.pull_hysteresis
    )


def _counted(followee: User, edge: FollowerEdge | None, change: Change, rules: Rules) -> User:
    count = followee.follower_count + change.active - (edge is not None and edge.active)
    coming_from = followee.delivery
    if change.review and change.review.caused_by == followee.count_offset:
        # Only if nothing was counted since: a later follow has been decided by this worker, and announced after it.
        coming_from = change.review.delivery
    delivery = decided(count, coming_from, rules)
    crossed_up = delivery == "pull" and followee.delivery == "push"
    return replace(
        followee,
        follower_count=count,
        generation=max(followee.generation, generation_for(count, rules.bucket_followers)),
        delivery=delivery,
        pull_since_ms=change.appended_at_ms if crossed_up else followee.pull_since_ms,
        count_offset=change.offset,
    )


def _crossing(author: User, change: Change) -> AuthorModeChanged:
    # All of it from the log, so that a worker which folds this again says the same.
    return AuthorModeChanged(
        author_id=author.user_id,
        delivery=author.delivery,
        follower_count=author.follower_count,
        changed_at=from_ms(change.appended_at_ms),
        caused_by=change.offset,
    )


def _place(follower_id: str, edge: FollowerEdge | None, change: Change) -> FollowerEdge:
    if edge is None:
        return FollowerEdge(
            follower_id=follower_id,
            generation=0,  # until the run is through
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
