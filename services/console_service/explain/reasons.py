"""Why a post is, or is not, in a feed: a pure function of what was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from console_service.explain.facts import Facts, Relation
from console_service.explain.view import (
    SourceOfPost,
    View,
    as_served,
    by_tables,
    is_served,
    sources,
)
from fanfold.core.events import ACTIVITY, GRAPH, POSTS, TIES
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import Tie

LATE_MS = 10 * 60 * 1000
"""How long after its creation a post may wait for the workers. Longer than that, its slice is lost."""

Hiding = Literal[
    "viewer-left",
    "unknown-post",
    "deleted",
    "author-left",
    "never-followed",
    "unfollowed",
    "muted",
    "blocked",
    "blocked-by-author",
    "older-than-retention",
    "beyond-depth",
]
"""Why a post rightly isn't in the feed."""

Waiting = Literal["not-planned", "slice-waits"]
"""Why it isn't in the feed yet."""

Fault = Literal[
    "author-pointer-missing",
    "timeline-row-missing",
    "edge-missing",
    "foreign-pointer",
    "pulled-row-missing",
    "author-not-pulled",
    "cached-graph",
    "cached-list",
    "cached-author-list",
    "cached-pulled",
    "cached-post",
    "cached-name",
]
"""What is wrong in the tables, or in the shared cache."""

Kind = SourceOfPost | Hiding | Waiting | Fault


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, in words. Where an event decides: its topic, the key of its partition, its offset there, and its time if the tables have it."""

    kind: Kind
    says: str
    topic: str | None = None
    key: str | None = None
    offset: int | None = None
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`in_feed`: whether the feed shows the post now. `wrong`: it should be the other way round, and no worker is about to mend it."""

    in_feed: bool
    wrong: bool
    reasons: Sequence[Reason]

    @property
    def late(self) -> bool:
        """Whether the post is still under way."""
        return not self.wrong and any(reason.kind in _WAITING for reason in self.reasons)


_WAITING = ("not-planned", "slice-waits")


def explain(facts: Facts) -> Explanation:
    """Why the post is, or is not, in the viewer's feed."""
    tables, served = by_tables(facts), as_served(facts)
    in_tables, in_feed = is_served(tables, facts), is_served(served, facts)
    hiding = list(_hiding(facts))
    reasons = hiding
    if not hiding:
        reasons = list(_shown(facts, tables)) if in_tables else [_missing(facts)]
    if in_tables != in_feed:
        reasons = [*_cached(tables, served), *reasons]
    waits = not hiding and not in_feed and reasons[-1].kind in _WAITING and not _is_overdue(facts)
    return Explanation(in_feed, wrong=in_feed == bool(hiding) and not waits, reasons=reasons)


def _is_overdue(facts: Facts) -> bool:
    return facts.now_ms - created_at_ms(facts.post_id) > LATE_MS


# Why not, rightly.


def _hiding(facts: Facts) -> Iterator[Reason]:
    viewer, post = facts.viewer, facts.post
    if viewer.left:
        yield Reason("viewer-left", f"{viewer.user_id} has left", GRAPH, viewer.user_id)
    if post is None:
        yield Reason("unknown-post", "no table has this post")
        return
    if post.deleted:
        author = post.author_id
        yield Reason("deleted", f"{author} deleted the post", POSTS, author, post.offset)
    relation = facts.relation
    if relation is not None:
        yield from _between(viewer.user_id, relation)
    if not facts.is_retained:
        days = facts.retention_ms // (24 * 3600 * 1000)
        yield Reason(
            "older-than-retention",
            f"a feed reaches back {days} days",
            at_ms=facts.now_ms - facts.retention_ms,
        )
    if facts.newer >= facts.depth:
        yield Reason("beyond-depth", f"{facts.depth} posts of the feed are newer")


def _between(viewer: str, relation: Relation) -> Iterator[Reason]:
    author, follow = relation.author.user_id, relation.follow
    if relation.author.left:
        yield Reason("author-left", f"{author} has left", GRAPH, author)
    if follow is None:
        yield Reason("never-followed", f"{viewer} has never followed {author}")
    elif not follow.active:
        says = f"{viewer} no longer follows {author}"
        yield Reason("unfollowed", says, GRAPH, author, follow.offset)
    if relation.mute is not None and relation.mute.active:
        yield _tie("muted", f"{viewer} mutes {author}", viewer, relation.mute)
    for block in relation.blocks:
        if block.active and block.mine:
            yield _tie("blocked", f"{viewer} blocks {author}", viewer, block)
        elif block.active:
            yield _tie("blocked-by-author", f"{author} blocks {viewer}", author, block)


def _tie(kind: Hiding, says: str, maker: str, tie: Tie) -> Reason:
    return Reason(kind, says, TIES, maker, tie.offset, tie.since_ms)


# Why, and by which source.


def _shown(facts: Facts, view: View) -> Iterator[Reason]:
    viewer, author = facts.viewer.user_id, view.author_id
    for source in sources(view, viewer):
        match source:
            case "timeline":
                done = facts.bucket and facts.slices.get(facts.bucket)
                at_ms = done.finished_at_ms if done else None
                yield Reason(source, f"the timeline of {viewer} has a pointer to it", at_ms=at_ms)
            case "own":
                yield Reason(source, "it is the viewer's own")
            case "not-materialised":
                follow = facts.relation and facts.relation.follow
                offset, since_ms = (follow.follow_offset, follow.since_ms) if follow else (0, 0)
                says = f"the posts of {author} are not all in the timeline yet: they are pulled"
                yield Reason(source, says, GRAPH, author, offset, since_ms)
            case "asleep":
                says = f"{viewer} is asleep: every followee is pulled"
                yield Reason(source, says, ACTIVITY, viewer, facts.viewer.asleep_offset)
            case "pulled":
                yield Reason(source, f"it is among the pulled posts of {author}")


# Why not, wrongly or not yet.


def _missing(facts: Facts) -> Reason:
    author = facts.post.author_id if facts.post else ""
    viewer, plan = facts.viewer.user_id, facts.plan
    if facts.pointed_at not in (None, author):
        says = f"the pointer in the timeline of {viewer} names {facts.pointed_at}, and the post is by {author}"
        return Reason("foreign-pointer", says)
    if plan is None:
        return Reason("not-planned", f"no worker has planned it: see the lag of {POSTS}")
    if facts.authored is None:
        return Reason("author-pointer-missing", f"the list of the posts of {author} lacks it")
    if facts.authored.delivery == "pull":
        return _not_pulled(facts, author)
    return _not_delivered(facts, author)


def _not_pulled(facts: Facts, author: str) -> Reason:
    if not facts.pulled:
        return Reason("pulled-row-missing", f"the pulled posts of {author} lack it")
    return Reason("author-not-pulled", f"{author} is not in the set of pulled authors")


def _not_delivered(facts: Facts, author: str) -> Reason:
    viewer, plan, bucket = facts.viewer.user_id, facts.plan, facts.bucket
    edge = facts.relation and facts.relation.edge
    if not edge or not edge.active:
        says = f"{viewer} follows {author}, and is not among the followers that posts go to"
        return Reason("edge-missing", says, GRAPH, author, edge.offset if edge else None)
    newest = -1 if plan is None or plan.generation is None else plan.generation
    if bucket and bucket not in facts.slices and bucket.generation <= newest:
        says = (
            f"the slice of bucket {bucket.bucket} in generation {bucket.generation} is not finished"
        )
        return Reason("slice-waits", says, at_ms=plan.started_at_ms if plan else None)
    done = facts.slices.get(bucket) if bucket else None
    how = "its slice is finished" if done else f"the follow of {author} is backfilled"
    says = f"{how}, and the timeline of {viewer} has no pointer to it"
    at_ms = done.finished_at_ms if done else edge.since_ms
    return Reason("timeline-row-missing", says, at_ms=at_ms)


# What the shared cache holds that the tables don't.


def _cached(tables: View, served: View) -> Iterator[Reason]:
    def graph(view: View) -> tuple[object, ...]:
        concerned = {view.author_id, tables.author_id}
        unmaterialised = view.unmaterialised & concerned
        return view.left, view.asleep, view.visible & concerned, unmaterialised

    if graph(tables) != graph(served):
        yield Reason("cached-graph", "the cached graph of the viewer differs from the tables")
    if tables.pointed_at != served.pointed_at:
        yield Reason("cached-list", "the cached list of the viewer differs from the timeline")
    if tables.authored != served.authored:
        yield Reason("cached-author-list", "the cached posts of the author differ from the tables")
    if tables.pulled != served.pulled:
        yield Reason("cached-pulled", "the cached pulled posts differ from the tables")
    if (tables.deleted, tables.author_id) != (served.deleted, served.author_id):
        yield Reason("cached-post", "the cached post differs from the tables")
    if tables.author_left != served.author_left:
        yield Reason("cached-name", "the cached name of the author differs from the tables")
