"""The address of the server that takes writes."""

from __future__ import annotations

from typing import Protocol

from fanfold.adapters.redis.address import Address


class Master(Protocol):
    """`settles_s`: a newly found server is used for reads only after this time, so that no writer still tells another server.

    A writer trusts its server for half of that time after the server was last confirmed. The other half allows for sentinels and
    nodes, which tell one another of a failover within two seconds.
    """

    settles_s: float

    async def address(self) -> Address:
        """Its address now. Raises `CacheUnavailable` where that is not known."""

    def close(self) -> None:
        """Close the connections that this has opened."""


class OneServer:
    """The only one there is."""

    settles_s = 0.0

    def __init__(self, address: Address) -> None:
        self._address = address

    async def address(self) -> Address:
        return self._address

    def close(self) -> None:
        """Nothing is open."""
