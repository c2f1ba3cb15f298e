"""How one post is fanned out: a pure decision. Its author's delivery is decided in `fanfold.core.delivery`."""

from __future__ import annotations

from typing import Literal

from fanfold.core.ports import User

Strategy = Literal["push", "pull", "both"]


def strategy(author: User, *, posted_at_ms: int, overlap_ms: int) -> Strategy:
    """How a post that the log took at `posted_at_ms` is fanned out.

    For `overlap_ms` after the author crossed to pull, a post goes both ways, because readers learn of the crossing a
    moment later. Both times are the log's. The same holds for `overlap_ms` *before* the crossing: a worker that is behind may
    project follows ahead of posts, and a post made before the crossing was to be pushed.
    Older posts are only pulled, so that a replay of a celebrity's history stays cheap.
    """
    if author.delivery == "push":
        return "push"
    if author.pull_since_ms is not None and abs(posted_at_ms - author.pull_since_ms) < overlap_ms:
        return "both"
    return "pull"
