"""The routes of mutes and blocks: one's own, seen by nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response

from fanfold.core.clock import Clock
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.openapi import ALL_WRITTEN, WRITTEN
from fanfold.http.params import Cursor, Limit, UserIdPath
from fanfold.http.positions import say_where
from fanfold.http.readiness import refuse_clock_skew
from graph_service.acting import refuse_others
from graph_service.lists import Connections, list_blocked, list_muted
from graph_service.ties import Ties


@dataclass(frozen=True, slots=True)
class TieRoutes:
    """What each route does, over the ports."""

    engines: Engines
    ties: Ties
    settings: Settings

    async def mute_user(
        self, user_id: UserIdPath, target_id: UserIdPath, actor: Actor, response: Response
    ) -> None:
        """Hide a user's posts from one's feed; nobody is told. A second mute changes nothing."""
        self._refuse(user_id, actor)
        say_where(response, await self.ties.mute(user_id, target_id))

    async def unmute_user(
        self, user_id: UserIdPath, target_id: UserIdPath, actor: Actor, response: Response
    ) -> None:
        """Show them again, whether muted or not."""
        self._refuse(user_id, actor)
        say_where(response, await self.ties.unmute(user_id, target_id))

    async def block_user(
        self, user_id: UserIdPath, target_id: UserIdPath, actor: Actor, response: Response
    ) -> None:
        """End the follows of both, and let neither see, follow or like the other's. A second block changes nothing."""
        self._refuse(user_id, actor)
        say_where(response, *await self.ties.block(user_id, target_id))

    async def unblock_user(
        self, user_id: UserIdPath, target_id: UserIdPath, actor: Actor, response: Response
    ) -> None:
        """End one's own block, whether there is one or not. No follow comes back."""
        self._refuse(user_id, actor)
        say_where(response, await self.ties.unblock(user_id, target_id))

    async def read_muted(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """See whom one mutes."""
        refuse_others(user_id, actor)
        stores = self.engines.stores
        return await list_muted(user_id, cursor=cursor, limit=limit, stores=stores)

    async def read_blocked(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """See whom one blocks; not by whom one is blocked."""
        refuse_others(user_id, actor)
        stores = self.engines.stores
        return await list_blocked(user_id, cursor=cursor, limit=limit, stores=stores)

    def _refuse(self, user_id: str, actor: str) -> None:
        refuse_others(user_id, actor)
        refuse_clock_skew(self.engines.log, max_skew_s=self.settings.max_clock_skew_s)


def router(engines: Engines, *, clock: Clock, settings: Settings) -> APIRouter:
    """The routes over these engines."""
    ties = Ties(log=engines.log, stores=engines.stores, clock=clock)
    do = TieRoutes(engines, ties, settings)
    api = APIRouter()
    own: dict[int | str, dict[str, Any]] = {403: {"description": "Someone else's."}}
    for side, put, delete, read, put_answer in (
        ("muted", do.mute_user, do.unmute_user, do.read_muted, WRITTEN),
        ("blocked", do.block_user, do.unblock_user, do.read_blocked, ALL_WRITTEN),
    ):
        each, target = f"/users/{{user_id}}/{side}", f"/users/{{user_id}}/{side}/{{target_id}}"
        api.add_api_route(
            target, put, methods=["PUT"], status_code=204, responses={204: put_answer, **own}
        )
        api.add_api_route(
            target, delete, methods=["DELETE"], status_code=204, responses={204: WRITTEN, **own}
        )
        api.add_api_route(each, read, methods=["GET"], responses=own)
    return api
