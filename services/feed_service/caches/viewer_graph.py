"""Which authors a viewer sees: the viewer and the followed, without those muted or blocked either way."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Literal

from fanfold.core.events import ViewerCell
from fanfold.core.ports import Stores
from feed_service.caches.pending import CellState


@dataclass(frozen=True, slots=True)
class ViewerGraph:
    """The authors whose posts a viewer sees, and which of them are not in the timeline (yet).

    `asleep`: nothing is delivered to this viewer, so that no author is in the timeline; `asleep_offset` is the offset
    of the event that says so. `left`: the viewer has no feed any more.
    """

    visible: frozenset[str]
    unmaterialised: tuple[str, ...] = ()
    asleep: bool = False
    asleep_offset: int | None = None
    left: bool = False


async def read_viewer_graph(
    user_id: str, *, stores: Stores
) -> tuple[ViewerGraph, dict[ViewerCell, CellState]]:
    """A viewer's graph from the tables, and the cells that it was made of."""
    follows, mutes, blocks, user = await asyncio.gather(
        stores.follows.following(user_id),
        stores.ties.mutes(user_id),
        stores.ties.blocks(user_id),
        stores.users.get(user_id),
    )
    cells = {
        ViewerCell("follow", follow.followee_id): CellState(follow.active, follow.offset)
        for follow in follows.values()
    }
    for tie in mutes.values():
        cells[ViewerCell("mute", tie.other_id)] = CellState(tie.active, tie.offset)
    for tie in blocks:
        kind: Literal["block", "blocked_by"] = "block" if tie.mine else "blocked_by"
        cells[ViewerCell(kind, tie.other_id)] = CellState(tie.active, tie.offset)
    if user.asleep_offset is not None:
        cells[ViewerCell("asleep")] = CellState(user.asleep, user.asleep_offset)
    hidden = {tie.other_id for tie in (*mutes.values(), *blocks) if tie.active}
    followed = [
        follow for follow in follows.values() if follow.active and follow.followee_id not in hidden
    ]
    # Interned, because the same popular authors are in thousands of sets.
    missing = [
        sys.intern(follow.followee_id)
        for follow in followed
        if user.asleep or not follow.materialised
    ]
    graph = ViewerGraph(
        visible=frozenset([user_id, *(sys.intern(follow.followee_id) for follow in followed)]),
        unmaterialised=tuple(missing),
        asleep=user.asleep,
        asleep_offset=user.asleep_offset if user.asleep else None,
        left=user.left,
    )
    return graph, cells
