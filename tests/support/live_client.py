"""An `EventSource` in few lines: it applies what it gets, and goes on from the last id when it is cut."""

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
        self._held: dict[str, dict[str, Any]] = {}
        self._last_id: str | None = None
        self._task: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """Listen from now on, from where it was before."""
        self._task = asyncio.create_task(self._listen(), name=f"live feed of {self.user_id}")

    async def cut(self) -> None:
        """Hang up. Raises what ended the connection before."""
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def items(self) -> list[dict[str, Any]]:
        """What it shows, newest first."""
        return [self._held[post_id] for post_id in sorted(self._held, reverse=True)]

    async def _listen(self) -> None:
        headers = {"X-User-Id": self.user_id}
        if self._last_id is not None:
            headers["Last-Event-ID"] = self._last_id
        self.connections += 1
        async with (
            httpx2.AsyncClient(base_url=self._base_url, timeout=30) as http,
            http.stream("GET", f"/users/{self.user_id}/feed/stream", headers=headers) as answer,
        ):
            assert answer.status_code == 200, answer.status_code
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
                self._held[data["post_id"]] = data
            case "removed":
                del self._held[data["post_id"]]
            case "level":
                assert data["posts"] == len(self._held), "a level is the whole head of the feed"
                self.levels += 1
        self._last_id = event.get("id", self._last_id)
