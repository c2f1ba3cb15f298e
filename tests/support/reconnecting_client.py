"""A client of a live feed behind the gateway: it connects again whenever the connection ends, as `EventSource` does."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx2

from tests.support.live_client import LiveClient

_PAUSE_S = 0.5


class ReconnectingClient(LiveClient):
    """`gateway` sends a token of the user in `X-User-Id`."""

    def __init__(self, gateway: httpx2.AsyncClient, user_id: str) -> None:
        super().__init__("", user_id)
        self._gateway = gateway

    async def _listen(self) -> None:
        while True:
            # Refused with a reason, cut off, or silent for too long.
            with suppress(httpx2.HTTPError):
                await self._listen_by(self._gateway)
            await asyncio.sleep(_PAUSE_S)
