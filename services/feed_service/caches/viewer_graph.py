"""Which authors a viewer sees: the viewer and the followed, without those muted or blocked either way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from fanfold.core.events import ViewerCell
from fanfold.core.ports import Follow, Stores, Tie, User
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


@dataclass(frozen=True, slots=True)
class ReadRows:
    """The rows that a viewer graph was made of. See `ViewerGraphRows`.

    Blocks are read only with `candidates`, the users followed and not muted: anyone can block the viewer, and a block with any
    other user hides nothing that would be shown. A follow that comes later, or the end of a mute, makes a new graph.
    """

    user: User
    follows: Mapping[str, Follow]
    mutes: Mapping[str, Tie]
    blocks: Mapping[tuple[str, bool], Tie]
    candidates: Mapping[str, Follow]

    def state_of(self, cell: ViewerCell) -> CellState | None:
        row: Follow | Tie | None
        match cell.kind:
            case "follow":
                row = self.follows.get(cell.other_id)
            case "mute":
                row = self.mutes.get(cell.other_id)
            case "block" | "blocked_by":
                row = self.blocks.get((cell.other_id, cell.kind == "block"))
            case "asleep":
                offset = self.user.asleep_offset
                return None if offset is None else CellState(self.user.asleep, offset)
            case _:
                assert_never(cell.kind)
        return None if row is None else CellState(row.active, row.offset)

    def decides(self, cell: ViewerCell) -> bool:
        return cell.kind not in ("block", "blocked_by") or cell.other_id in self.candidates


async def read_viewer_graph(user_id: str, *, stores: Stores) -> tuple[ViewerGraph, ReadRows]:
    """A viewer's graph from the tables, and the rows that it was made of."""
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
    by_cell = {(tie.other_id, tie.mine): tie for tie in blocks}
    return graph, ReadRows(user, follows, mutes, by_cell, candidates)
