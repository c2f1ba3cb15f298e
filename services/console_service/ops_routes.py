"""`GET /ops/…`: what operators see, as JSON. Nothing here changes anything."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from console_service.console import Console
from console_service.operators import Operators
from fanfold.core.settings import Settings


def router(settings: Settings, console: Console) -> APIRouter:
    """The routes. They are no part of the API's promise, so its document leaves them out."""
    ops = APIRouter(
        prefix="/ops", dependencies=[Depends(Operators(settings))], include_in_schema=False
    )
    ops.add_api_route("/work", console.work)
    ops.add_api_route("/overview", console.overview)
    return ops
