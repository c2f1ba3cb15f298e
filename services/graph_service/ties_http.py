"""The routes of mutes and blocks: one's own, and hidden from everyone else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response

from fanfold.core.clock import Clock
from fanfold.core.ports import Stores
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.guards import OWN, write_guards
from fanfold.http.openapi import ALL_WRITTEN, NOT_OWN, NOT_OWN_OR_LEFT, WRITTEN, Responses
from fanfold.http.params import Cursor, Limit, UserIdPath
from fanfold.http.positions import no_content
from graph_service.connections import Connections, show_connections
from graph_service.lists import list_blocked, list_muted
from graph_service.tie_limit import TieLimit, TooManyBlocked, TooManyMuted, by_rows, too_many
from graph_service.ties import Ties


@dataclass(frozen=True, slots=True)
class TieRoutes:
    """What each route does, over the ports."""

    change: Ties
    stores: Stores

    async def mute_user(self, user_id: UserIdPath, target_id: UserIdPath) -> Response:
        """Hide a user's posts from one's feed; the user doesn't learn of it. A second mute changes nothing."""
        return no_content(await self.change.mute(user_id, target_id))

    async def unmute_user(self, user_id: UserIdPath, target_id: UserIdPath) -> Response:
        """Show a user's posts again, whether the user was muted or not."""
        return no_content(await self.change.unmute(user_id, target_id))

    async def block_user(self, user_id: UserIdPath, target_id: UserIdPath) -> Response:
        """End the follows between the two; neither can see, follow or like the other. A second block changes nothing."""
        return no_content(*await self.change.block(user_id, target_id))

    async def unblock_user(self, user_id: UserIdPath, target_id: UserIdPath) -> Response:
        """End one's own block, whether there is one or not. No follow comes back."""
        return no_content(await self.change.unblock(user_id, target_id))

    async def read_muted(
        self, user_id: UserIdPath, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """List the users that one mutes, the newest mute first."""
        page = await list_muted(user_id, cursor=cursor, limit=limit, ties=self.stores.ties)
        return await show_connections(page, viewer=user_id, stores=self.stores)

    async def read_blocked(
        self, user_id: UserIdPath, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """List the users that one blocks, the newest block first; not the users who block one."""
        page = await list_blocked(user_id, cursor=cursor, limit=limit, ties=self.stores.ties)
        return await show_connections(page, viewer=user_id, stores=self.stores)


def _changes(engines: Engines, *, clock: Clock, settings: Settings) -> Ties:
    ties = engines.stores.ties
    mutes = TieLimit(
        by_rows(ties.mutes), clock=clock, most=settings.max_muted, too_many=TooManyMuted
    )
    blocks = TieLimit(
        by_rows(ties.blocks_made), clock=clock, most=settings.max_blocked, too_many=TooManyBlocked
    )
    return Ties(
        log=engines.log,
        stores=engines.stores,
        clock=clock,
        mutes_limit=mutes,
        blocks_limit=blocks,
    )


def routers(
    engines: Engines, *, clock: Clock, settings: Settings, after: list[Any]
) -> list[APIRouter]:
    """The routes over these engines. `after`: the dependencies of reads."""
    change = _changes(engines, clock=clock, settings=settings)
    do = TieRoutes(change, engines.stores)
    reads = APIRouter(tags=["graph"], dependencies=[*OWN, *after], responses=NOT_OWN)
    writes = APIRouter(
        tags=["graph"],
        dependencies=[*OWN, *write_guards(engines, settings).all()],
        responses=NOT_OWN_OR_LEFT,
    )
    mutes: Responses = {204: WRITTEN, 409: too_many("mute", settings.max_muted)}
    blocks: Responses = {204: ALL_WRITTEN, 409: too_many("block", settings.max_blocked)}
    unmutes: Responses = {204: WRITTEN, 409: mutes[409]}
    unblocks: Responses = {204: WRITTEN, 409: blocks[409]}
    muted, blocked = "/users/{user_id}/muted", "/users/{user_id}/blocked"
    mute, block = f"{muted}/{{target_id}}", f"{blocked}/{{target_id}}"
    writes.add_api_route(mute, do.mute_user, methods=["PUT"], status_code=204, responses=mutes)
    writes.add_api_route(
        mute, do.unmute_user, methods=["DELETE"], status_code=204, responses=unmutes
    )
    writes.add_api_route(block, do.block_user, methods=["PUT"], status_code=204, responses=blocks)
    writes.add_api_route(
        block, do.unblock_user, methods=["DELETE"], status_code=204, responses=unblocks
    )
    reads.add_api_route(muted, do.read_muted, methods=["GET"])
    reads.add_api_route(blocked, do.read_blocked, methods=["GET"])
    return [writes, reads]
