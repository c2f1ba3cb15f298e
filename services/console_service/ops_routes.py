"""`GET /ops/…`: what operators see, as JSON. Nothing here changes anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BeforeValidator

from console_service.browse import CURSOR_PATTERN, LONGEST_CURSOR
from console_service.console import Console
from console_service.operators import Operators
from fanfold.core.ids import UserId
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from fanfold.http.params import Limit, canonical_uuid7, whole_number


def router(settings: Settings, console: Console) -> APIRouter:
    """The routes. They are no part of the API's promise, so its document leaves them out."""
    ops = APIRouter(
        prefix="/ops", dependencies=[Depends(Operators(settings))], include_in_schema=False
    )
    do = OpsRoutes(console)
    ops.add_api_route("/work", console.work)
    ops.add_api_route("/overview", console.overview)
    ops.add_api_route("/fan-outs", do.fan_outs)
    ops.add_api_route("/dead-letters", do.dead_letters)
    ops.add_api_route("/events", do.events)
    ops.add_api_route("/sizes", console.sizes)
    ops.add_api_route("/explain", do.explain)
    return ops


Cursor = Annotated[str | None, Query(pattern=CURSOR_PATTERN, max_length=LONGEST_CURSOR)]
Topic = Annotated[str, Query(pattern=f"^({'|'.join(map(re.escape, load_topics()))})$")]
Time = Annotated[int | None, Query(), whole_number(0, 253_402_300_799_999)]
"""Milliseconds since the Unix epoch, until the year 9999."""
Text = Annotated[str | None, Query(max_length=256)]

User = Annotated[UserId, Query()]
Post = Annotated[UUID, BeforeValidator(canonical_uuid7), Query()]


@dataclass(frozen=True, slots=True)
class OpsRoutes:
    """The handlers of routes with parameters."""

    console: Console

    async def explain(self, user: User, post: Post) -> dict[str, Any]:
        return await self.console.explain(user, post)

    async def fan_outs(self, limit: Limit = 20) -> dict[str, Any]:
        return await self.console.fan_outs(limit)

    async def dead_letters(self, limit: Limit = 20, cursor: Cursor = None) -> dict[str, Any]:
        return await self.console.dead_letters(limit, cursor)

    async def events(
        self,
        *,
        topic: Topic,
        limit: Limit = 20,
        cursor: Cursor = None,
        until_ms: Time = None,
        key: Text = None,
        type: Text = None,  # noqa: A002 - the parameter's name
    ) -> dict[str, Any]:
        return await self.console.events(
            topic, limit=limit, cursor=cursor, until_ms=until_ms, key=key, type_=type
        )
