"""What all stores have in common."""

from __future__ import annotations

from typing import Literal, Protocol

Mode = Literal["push", "pull"]


class Store(Protocol):
    """What all of them have in common."""

    async def ping(self) -> None:
        """Return if the store answers. Raises `Unavailable`."""
