"""The routes of the page, and of what operators see."""

from __future__ import annotations

from fastapi import APIRouter

from console_service import ops_routes, page
from fanfold.core.ports.log_view import LogView
from fanfold.core.settings import Settings


def routers(settings: Settings, view: LogView) -> list[APIRouter]:
    """The routes of this service."""
    return [page.router(settings), ops_routes.router(settings, view)]
