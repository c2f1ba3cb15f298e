"""`CacheSwitch` in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.ports import CacheOutage
from fanfold.core.ports.cache_switch import EPOCH_KEPT_S, OFF_S


@dataclass(slots=True)
class _Told:
    epoch: UUID
    told_s: float
    ended: UUID | None = None


class MemoryCacheSwitch:
    """See `fanfold.core.ports.CacheSwitch`."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, _Told] = {}

    async def outages(self) -> Sequence[CacheOutage]:
        now_s = self._clock.monotonic_s()
        return [
            CacheOutage(
                writer_id, told.epoch, off=now_s < told.told_s + OFF_S and told.ended != told.epoch
            )
            for writer_id, told in sorted(self._told.items())
            if now_s < told.told_s + EPOCH_KEPT_S
        ]

    async def begin(self, writer_id: str, epoch: UUID) -> None:
        told = self._told.setdefault(writer_id, _Told(epoch, 0.0))
        told.epoch = epoch
        told.told_s = self._clock.monotonic_s()

    async def end(self, writer_id: str, epoch: UUID) -> None:
        if (told := self._told.get(writer_id)) is not None:
            told.ended = epoch
