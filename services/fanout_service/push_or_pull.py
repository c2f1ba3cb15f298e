"""How one post is fanned out: a pure decision. On which side its author is: `fanfold.core.delivery`."""

from __future__ import annotations

from typing import Literal

from fanfold.core.ports import User

Strategy = Literal["push", "pull", "both"]


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
