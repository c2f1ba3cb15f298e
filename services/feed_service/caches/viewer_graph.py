"""Which authors a viewer sees: the viewer and the followed, without those muted or blocked either way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fanfold.core.ports import Stores


@dataclass(frozen=True, slots=True)
class ViewerGraph:
    """The authors whose posts a viewer sees, and which of them are not in the timeline (yet).

    `asleep`: nothing is delivered to this viewer, so that no author is in the timeline; `asleep_offset` is the offset of the event that
    says so, and `woke_offset` that of an awakening that has begun since. `left`: the viewer has no feed any more.
    """

    visible: frozenset[str]
    unmaterialised: tuple[str, ...] = ()
    asleep: bool = False
    asleep_offset: int | None = None
    woke_offset: int | None = None
    left: bool = False


async def read_viewer_graph(user_id: str, *, stores: Stores) -> ViewerGraph:
    """A viewer's graph from the tables.

    Blocks are read only with the users followed and not muted: anyone can block the viewer, and a block with any other user hides
    nothing that would be shown.
    """
    follows, mutes, user = await asyncio.gather(
        stores.follows.following(user_id),
        stores.ties.mutes(user_id),
        stores.users.get(user_id),
    )
    muted = {tie.other_id for tie in mutes.values() if tie.active}
    candidates = {
        followee_id: follow
        for followee_id, follow in follows.items()
        if follow.active and followee_id not in muted
    }
    blocks = await stores.ties.blocks_with(user_id, candidates)
    blocked = {tie.other_id for tie in blocks if tie.active}
    followed = [follow for follow in candidates.values() if follow.followee_id not in blocked]
    missing = [follow.followee_id for follow in followed if user.asleep or not follow.materialised]
    return ViewerGraph(
        visible=frozenset([user_id, *(follow.followee_id for follow in followed)]),
        unmaterialised=tuple(missing),
        asleep=user.asleep,
        asleep_offset=user.asleep_offset if user.asleep else None,
        woke_offset=user.woke_offset if user.asleep else None,
        left=user.left,
    )
