"""A page of other users as the API shows it: their names, their avatars, and what the viewer is to them."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, Field

from fanfold.core.clock import rfc3339
from fanfold.core.ports import Stores, User
from fanfold.http.openapi import Rfc3339
from graph_service.lists import Listed, Order
from graph_service.viewer_state import ViewerState, viewer_states


class Connection(BaseModel):
    """The other end of a follow, a mute or a block."""

    user_id: str
    display_name: str = Field(
        description="The id of a user who has no name: one who never registered, or has left."
    )
    avatar_url: str | None = Field(description="Null if there is none.")
    since: Rfc3339
    viewer: ViewerState


class Connections(BaseModel):
    """One page."""

    items: list[Connection]
    order: Order = Field(
        description="`newest`: the newest follow, mute or block comes first. `stable`: an order that stays, and is not by time, for a user "
        "with many followers. All pages of a list have one order."
    )
    next_cursor: str | None = Field(
        description="Null on the last page. A page of followers before it may be short, or empty, where many follows have ended."
    )


async def show_connections(page: Listed, *, viewer: str, stores: Stores) -> Connections:
    """The page with names and viewer state: five reads, however many users are on it."""
    user_ids = [user_id for user_id, _ in page.entries]
    users: dict[str, User] = {}
    states: dict[str, ViewerState] = {}
    if user_ids:
        users, states = await asyncio.gather(
            stores.users.get_many(user_ids), viewer_states(viewer, user_ids, stores=stores)
        )
    items = [
        Connection(
            user_id=user_id,
            display_name=users[user_id].shown_name,
            avatar_url=users[user_id].shown_avatar_url,
            since=rfc3339(since_ms),
            viewer=states[user_id],
        )
        for user_id, since_ms in page.entries
    ]
    return Connections(items=items, order=page.order, next_cursor=page.next_cursor)
