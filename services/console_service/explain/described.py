"""An explanation as JSON, with the rows that it rests on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from console_service.explain.facts import Facts
from console_service.explain.reasons import Explanation, Reason
from fanfold.core.clock import rfc3339


def described(facts: Facts, explanation: Explanation) -> dict[str, Any]:
    """The explanation; the rows are beside its reasons."""
    return {
        "user_id": facts.viewer.user_id,
        "post_id": str(facts.post_id),
        "in_feed": explanation.in_feed,
        "wrong": explanation.wrong,
        "late": explanation.late,
        "reasons": [_reason(reason) for reason in explanation.reasons],
        **dict(rows(facts)),
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "reason": reason.kind,
        "says": reason.says,
        "topic": reason.topic,
        "key": reason.key,
        "offset": reason.offset,
        "at": _time(reason.at_ms),
    }


def rows(facts: Facts) -> Iterator[tuple[str, Any]]:
    """What the tables have about the two, by name; None for a row that isn't there."""
    post, relation, plan, bucket = facts.post, facts.relation, facts.plan, facts.bucket
    follow = relation.follow if relation else None
    yield "author_id", post.author_id if post else None
    yield "created_at", post and _time(post.created_at_ms)
    yield "asleep", facts.viewer.asleep
    yield (
        "follow",
        follow
        and {
            "active": follow.active,
            "since": _time(follow.since_ms),
            "follow_offset": follow.follow_offset,
            "offset": follow.offset,
            "materialised": follow.materialised,
        },
    )
    yield "strategy", plan and plan.strategy
    yield "planned_at", plan and _time(plan.started_at_ms)
    done = facts.slices.get(bucket) if bucket else None
    yield (
        "slice",
        bucket
        and {
            "generation": bucket.generation,
            "bucket": bucket.bucket,
            "finished_at": done and _time(done.finished_at_ms),
            "delivered": done and done.delivered,
        },
    )
    yield "in_timeline", facts.pointed_at is not None
    yield "in_pulled_posts", facts.pulled
    yield "author_is_pulled", facts.pulled_author is not None
    yield "newer_posts", facts.newer


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
