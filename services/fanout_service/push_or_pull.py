"""Is an author pushed or pulled, and how is one post fanned out? Pure decisions."""

from __future__ import annotations

from typing import Literal

from fanfold.stores import Mode, User

Strategy = Literal["push", "pull", "both"]


def side_after(follower_count: int, side: Mode, *, threshold: int, hysteresis: float) -> Mode:
    """The author's side once the count is `follower_count`, coming from `side`.

    Pulled from `threshold` on; back to push only below `hysteresis * threshold`, so that an author whose count
    hovers around the threshold doesn't flutter.
    """
    if follower_count >= threshold:
        return "pull"
    if follower_count < hysteresis * threshold:
        return "push"
    return side


def strategy(author: User, *, posted_at_ms: int, overlap_ms: int) -> Strategy:
    """How a post that the log took at `posted_at_ms` is fanned out.

    For `overlap_ms` after the author crossed to pull a post goes both ways, because readers learn of the crossing
    a moment later. Both times are the log's. It is as long *before* the crossing: a worker that is behind, and
    projects follows ahead of posts, must not pull a post whose readers it would once have pushed to at a stroke.
    Further back only the pull is left, so that replaying the history of what is a celebrity by now stays cheap.
    """
    if author.delivery == "push":
        return "push"
    if author.pull_since_ms is not None and abs(posted_at_ms - author.pull_since_ms) < overlap_ms:
        return "both"
    return "pull"
