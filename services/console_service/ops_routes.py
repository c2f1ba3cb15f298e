"""`GET /ops/…`: what operators see, as JSON. Nothing here changes anything."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from console_service.operators import Operators
from console_service.work import read_status
from fanfold.core.ports.log_view import LogView
from fanfold.core.settings import Settings


def router(settings: Settings, view: LogView) -> APIRouter:
    """The routes. They are no part of the API's promise, so its document leaves them out."""
    routes = OpsRoutes(view)
    ops = APIRouter(
        prefix="/ops", dependencies=[Depends(Operators(settings))], include_in_schema=False
    )
    ops.add_api_route("/work", routes.work)
    return ops


class OpsRoutes:
    """The handlers of the routes."""

    def __init__(self, view: LogView) -> None:
        self._view = view

    async def work(self) -> dict[str, Any]:
        """What waits for the workers: `Status` as JSON, with the name of the log."""
        status = await read_status(self._view)
        return {"log": self._view.name, "healthy": status.healthy, **status.as_json()}
