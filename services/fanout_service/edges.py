"""The edges between one followee and some followers, in whatever generation they lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from fanfold.core.ports import FollowerEdge, Stores, User


async def edges_to(
    followee: User, follower_ids: Collection[str], *, stores: Stores
) -> dict[str, list[FollowerEdge]]:
    """Each follower's edges, from every generation.

    There are several only if a write that had timed out took effect late, after the author had outgrown a generation. Then the
    newest holds, and all are written, so that no active one is left behind.
    """
    found: dict[str, list[FollowerEdge]] = defaultdict(list)
    for generation in range(followee.generation + 1):
        edges = await stores.follows.follower_edges([followee.user_id], generation, follower_ids)
        for edge in edges.values():
            found[edge.follower_id].append(edge)
    return found


def newest_edges(copies: Mapping[str, Sequence[FollowerEdge]]) -> dict[str, FollowerEdge]:
    """Each follower's edge that holds."""
    return {
        follower_id: max(edges, key=lambda edge: edge.offset)
        for follower_id, edges in copies.items()
    }
