"""Whose posts a reader sees: the followed and the reader, without those muted or blocked either way."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from fanfold.core.events import ViewerCell
from fanfold.core.ports import Stores
from feed_service.caches.pending import Held


@dataclass(frozen=True, slots=True)
class ViewerGraph:
    """Whose posts a reader sees, and who of them is not in the timeline (yet).

    `asleep`: nothing is delivered to this reader, so that nobody is in the timeline; `asleep_at` is
    the offset that says so. `left`: there is no feed any more.
    """

    visible: frozenset[str]
    unmaterialised: tuple[str, ...] = ()
    asleep: bool = False
    asleep_at: int | None = None
    left: bool = False


async def read_viewer_graph(
    user_id: str, *, stores: Stores
) -> tuple[ViewerGraph, dict[ViewerCell, Held]]:
    """A reader's graph from the tables, and the cells it was made of."""
    follows, mutes, blocks, user = await asyncio.gather(
        stores.follows.following(user_id),
        stores.ties.mutes(user_id),
        stores.ties.blocks(user_id),
        stores.users.get(user_id),
    )
    cells = {
        ViewerCell("follow", follow.followee_id): Held(follow.active, follow.offset)
        for follow in follows.values()
    }
    cells |= {
        ViewerCell("mute", tie.other_id): Held(tie.active, tie.offset) for tie in mutes.values()
    }
    cells |= {
        ViewerCell("block" if tie.mine else "blocked_by", tie.other_id): Held(
            tie.active, tie.offset
        )
        for tie in blocks
    }
    if user.asleep_offset is not None:
        cells[ViewerCell("asleep")] = Held(user.asleep, user.asleep_offset)
    hidden = {tie.other_id for tie in (*mutes.values(), *blocks) if tie.active}
    followed = [
        follow for follow in follows.values() if follow.active and follow.followee_id not in hidden
    ]
    # Interned, for the same popular authors are in thousands of sets.
    return (
        ViewerGraph(
            visible=frozenset([user_id, *(sys.intern(each.followee_id) for each in followed)]),
            unmaterialised=tuple(
                sys.intern(each.followee_id)
                for each in followed
                if user.asleep or not each.materialised
            ),
            asleep=user.asleep,
            asleep_at=user.asleep_offset if user.asleep else None,
            left=user.left,
        ),
        cells,
    )
