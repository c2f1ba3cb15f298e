"""The shared cache of an installation without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fanfold.core.ports.shared_cache import FeedList, Lease


class NoSharedCache:
    """Implements `SharedCache`: finds nothing, gives no lease, and has nothing to forget."""

    def usable(self) -> bool:
        return False

    async def look_up(self, keys: Sequence[str]) -> list[bytes | Lease | None]:
        return [None] * len(keys)

    async def fill(self, values: Sequence[tuple[Lease, bytes]]) -> None:
        """Keep nothing."""

    async def feed(self, user_id: str) -> FeedList | Lease | None:
        return None

    async def fill_feed(self, lease: Lease, entries: Sequence[bytes], *, end: bytes) -> None:
        """Keep nothing."""

    async def extend_feed(
        self, user_id: str, known: FeedList, older: Sequence[bytes], *, end: bytes
    ) -> None:
        """Keep nothing."""

    async def marks(self, keys: Sequence[str]) -> list[bytes] | None:
        return None

    async def memory(self) -> Mapping[str, float] | None:
        return None

    async def forget(self, keys: Sequence[str]) -> None:
        """There is nothing to forget."""

    async def push(self, entries: Sequence[bytes], user_ids: Sequence[str]) -> None:
        """There is no list."""

    async def ping(self) -> None:
        """There is no server that could be away."""
