"""A replay's reading of Kafka ends when the brokers have gone, which the client itself waits for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from fanfold.adapters.kafka import history as module
from fanfold.adapters.kafka.history import KafkaHistory
from fanfold.core.errors import LogUnavailable
from fanfold.core.events import POSTS
from fanfold.core.ports.log_view import Span
from fanfold.core.settings import Settings

THERE = 3
"""Records that a broker sends before it goes."""


class Consumer:
    """Gets one record at a time, and waits three times for each of them."""

    def __init__(self) -> None:
        self.offset = 0
        self.asked = 0

    def assign(self, _partitions: object) -> None:
        """Nothing to do."""

    def seek(self, _partition: object, offset: int) -> None:
        self.offset = offset

    async def position(self, _partition: object) -> int:
        return self.offset

    async def getmany(self, partition: object, **_: object) -> dict[object, list[Any]]:
        self.asked += 1
        assert self.asked < 100, "it waits for ever"
        if self.asked % 4 or self.offset == THERE:
            return {}
        self.offset += 1
        fields = {"key": b"k", "value": b"v", "headers": (), "timestamp": 1, "partition": 0}
        return {partition: [SimpleNamespace(offset=self.offset - 1, **fields)]}


async def test_brokers_that_have_gone_end_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer()

    @asynccontextmanager
    async def started(*_: object, **__: object) -> AsyncIterator[Consumer]:
        yield consumer

    monkeypatch.setattr(module, "started_consumer", started)
    history = KafkaHistory(Settings(retry_budget_s=2))

    async def offsets(end: int) -> list[int]:
        found = history.batches(POSTS, 0, Span(0, end), size=1)
        return [record.offset async for batch in found for record in batch]

    assert await offsets(THERE) == [0, 1, 2]
    with pytest.raises(LogUnavailable, match=r"no record of posts\.v1/0 since 3"):
        await offsets(THERE + 1)
