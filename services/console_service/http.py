"""The routes of the page."""

from __future__ import annotations

from fastapi import APIRouter

from console_service import page
from fanfold.core.settings import Settings


def routers(settings: Settings) -> list[APIRouter]:
    """The routes of this service."""
    return [page.router(settings)]
