"""`Revocations` in memory."""

from __future__ import annotations

from collections.abc import Sequence

from fanfold.core.clock import Clock
from fanfold.core.ports.revocations import KEPT_S, Revocation


class MemoryRevocations:
    """See `fanfold.core.ports.Revocations`."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[Revocation, float]] = {}

    async def revoke(self, revocation: Revocation) -> None:
        name = (revocation.kind, revocation.value)
        held = self._kept.get(name)
        if held is None or held[0].at_ms <= revocation.at_ms:
            self._kept[name] = (revocation, self._clock.monotonic_s())

    async def revoked(self) -> Sequence[Revocation]:
        now_s = self._clock.monotonic_s()
        return sorted(entry for entry, at_s in self._kept.values() if now_s < at_s + KEPT_S)
