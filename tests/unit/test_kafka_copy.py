"""What `fanfold topics grow` appends, and in which order: without a broker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest
from aiokafka.structs import TopicPartition

from fanfold.adapters.kafka import copy
from fanfold.adapters.kafka.copy import _by_time
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Span
from fanfold.core.settings import Settings

SETTINGS = Settings(topic_prefix="t")


def a_record(partition: int, offset: int, at_ms: int) -> Record:
    return Record("posts.v1", partition, offset, b"key", b"", {}, at_ms)


class History:
    """Three partitions, each in the order of its times: the first is busy, the second late, the third empty."""

    def __init__(self, _settings: Settings) -> None:
        self.logs = {
            0: [a_record(0, offset, 10 * offset) for offset in range(7)],
            1: [a_record(1, offset, 25 + 10 * offset) for offset in range(3)],
            2: [],
        }

    async def batches(
        self, topic: str, partition: int, span: Span, *, size: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        assert topic == "posts.v1"
        found = self.logs[partition][span.first : span.end]
        for first in range(0, len(found), size):
            yield found[first : first + size]


@pytest.fixture(autouse=True)
def history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "KafkaHistory", History)
    monkeypatch.setattr(copy, "_BATCH", 2)


async def batches(**first: int) -> list[list[tuple[int, int]]]:
    spans = {0: Span(first.get("busy", 0), 7), 1: Span(first.get("late", 0), 3), 2: Span(0, 0)}
    left = {TopicPartition("t.posts.v1", number): span for number, span in spans.items()}
    left[TopicPartition("t.graph.v1", 0)] = Span(0, 7)
    found = _by_time(SETTINGS, "posts.v1", left)
    return [[(record.partition, record.offset) for record in batch] async for batch in found]


async def test_a_topics_records_are_copied_in_the_order_of_their_times() -> None:
    assert await batches() == [
        [(0, 0), (0, 1)],
        [(0, 2), (1, 0)],
        [(0, 3), (1, 1)],
        [(0, 4), (1, 2)],
        [(0, 5), (0, 6)],
    ]


async def test_only_what_no_earlier_copy_has_taken_is_copied() -> None:
    assert await batches(busy=6, late=2) == [[(1, 2), (0, 6)]]
    assert await batches(busy=7, late=3) == []
