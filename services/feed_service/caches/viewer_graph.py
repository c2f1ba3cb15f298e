"""Whose posts a reader sees: the followed and the reader, without those muted or blocked either way."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from fanfold.core.events import (
    Event,
    UserBlocked,
    UserFellAsleep,
    UserFollowed,
    UserMuted,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
    UserWoke,
)
from fanfold.core.ports import Stores
from feed_service.caches.pending import Cell, Held


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
) -> tuple[ViewerGraph, dict[Cell, Held]]:
    """A reader's graph from the tables, and the cells it was made of."""
    follows, mutes, blocks, user = await asyncio.gather(
        stores.follows.following(user_id),
        stores.ties.mutes(user_id),
        stores.ties.blocks(user_id),
        stores.users.get(user_id),
    )
    cells = {
        Cell("follow", follow.followee_id): Held(follow.active, follow.offset)
        for follow in follows.values()
    }
    cells |= {Cell("mute", tie.other_id): Held(tie.active, tie.offset) for tie in mutes.values()}
    cells |= {
        Cell("block" if tie.mine else "blocked_by", tie.other_id): Held(tie.active, tie.offset)
        for tie in blocks
    }
    if user.asleep_offset is not None:
        cells[Cell("asleep")] = Held(user.asleep, user.asleep_offset)
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


def changed_viewer_graphs(event: Event) -> list[tuple[str, Cell, bool]]:
    """Whose graph an event changes: the user, the cell, and whether it is on afterwards."""
    match event:
        case UserFollowed() | UserUnfollowed():
            on = isinstance(event, UserFollowed)
            return [(event.follower_id, Cell("follow", event.followee_id), on)]
        case UserMuted() | UserUnmuted():
            on = isinstance(event, UserMuted)
            return [(event.user_id, Cell("mute", event.target_id), on)]
        case UserBlocked() | UserUnblocked():
            on = isinstance(event, UserBlocked)
            return [
                (event.user_id, Cell("block", event.target_id), on),
                (event.target_id, Cell("blocked_by", event.user_id), on),
            ]
        case UserFellAsleep():
            return [(event.user_id, Cell("asleep"), True)]
        case UserWoke():
            # The state follows when the timeline is filled: until then the reader is still asleep, and rightly so.
            return []
        case _:
            return []
