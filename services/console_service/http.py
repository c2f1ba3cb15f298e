"""The routes of the page, and of what operators see."""

from __future__ import annotations

from fastapi import APIRouter

from console_service import ops_routes, page
from console_service.console import Console
from fanfold.core.settings import Settings


def routers(settings: Settings, console: Console) -> list[APIRouter]:
    """The routes of this service."""
    return [page.router(settings, log=console.log), ops_routes.router(settings, console)]
