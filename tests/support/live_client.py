"""A small `EventSource`: it applies each event, and resumes from the last id when it is cut off."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx2


class LiveClient:
    """A client of one user's live feed."""

    def __init__(self, base_url: str, user_id: str) -> None:
        self.user_id = user_id
        self.connections = 0
        self.levels = 0
        self._base_url = base_url
        self._items: dict[str, dict[str, Any]] = {}
        self._last_id: str | None = None
        self._task: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """Listen, from the last event of the connection before."""
        self._task = asyncio.create_task(self._listen(), name=f"live feed of {self.user_id}")

    async def cut(self) -> None:
        """Hang up. Raises the error that ended the connection before, if any."""
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def items(self) -> list[dict[str, Any]]:
        """The items that it shows, newest first."""
        return [self._items[post_id] for post_id in sorted(self._items, reverse=True)]

    async def _listen(self) -> None:
        async with httpx2.AsyncClient(base_url=self._base_url, timeout=30) as http:
            await self._listen_by(http)

    async def _listen_by(self, http: httpx2.AsyncClient) -> None:
        """Until the connection ends. Raises `HTTPError`."""
        headers = {"X-User-Id": self.user_id}
        if self._last_id is not None:
            headers["Last-Event-ID"] = self._last_id
        self.connections += 1
        path = f"/users/{self.user_id}/feed/stream"
        async with http.stream("GET", path, headers=headers) as answer:
            answer.raise_for_status()
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                    continue
                self._apply(event)
                event = {}

    def _apply(self, event: dict[str, str]) -> None:
        data = json.loads(event.get("data", "null"))
        match event.get("event"):
            case "post":
                self._items[data["post_id"]] = data
            case "removed":
                del self._items[data["post_id"]]
            case "level":
                assert data["posts"] == len(self._items), "a level is the whole head of the feed"
                self.levels += 1
        self._last_id = event.get("id", self._last_id)
