"""The metrics of an audit that keeps running, about its last round."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from fanfold.core.metric_labels import start_at_zero
from fanfold.ops.audit.report import WHAT, Report

USERS = Gauge("fanfold_audit_users", "Users audited in the last round.")
POSTS = Gauge("fanfold_audit_posts", "Posts in the feeds of these users, computed by pull.")
LATE = Gauge("fanfold_audit_late_posts", "Posts that still waited for the workers.")
WRONG = Gauge(
    "fanfold_audit_wrong_ratio",
    "The share of posts, or of cached values, that were wrong in the last round.",
    ["what"],
)
ROUNDS = Counter("fanfold_audit_rounds", "Rounds that ended.", ["result"])
start_at_zero(ROUNDS, ("right", "wrong", "unavailable"))
REPAIRS = Counter("fanfold_audit_repairs", "Repairs made, in all rounds.")


def export(report: Report) -> None:
    """Export one round."""
    USERS.set(report.users)
    POSTS.set(report.posts)
    LATE.set(report.late)
    for what in WHAT:
        WRONG.labels(what).set(report.rate(what))
    ROUNDS.labels("wrong" if report.wrong_users else "right").inc()
    REPAIRS.inc(report.mended)
