"""The numbers of a log in a later epoch, without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata, OffsetAndTimestamp, TopicPartition
from pydantic import ValidationError

from fanfold.adapters.kafka.epoch import EpochConsumer, first_offset
from fanfold.core.lag import PartitionLag
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanfold.core.topic_settings import MOST_EPOCHS, OFFSETS_AN_EPOCH
from fanout_service.stream import FaustConsumer, _record

AT = TopicPartition("t.posts.v1", 3)
FIRST = 2 * OFFSETS_AN_EPOCH


def test_every_offset_is_exact_in_a_double_and_older_than_this_year() -> None:
    newest = (MOST_EPOCHS + 1) * OFFSETS_AN_EPOCH
    assert float(newest) + 1 != float(newest)
    this_year_us = datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1_000_000
    assert newest < this_year_us, "Cassandra takes it for microseconds"
    with pytest.raises(ValidationError):
        Settings(log_epoch=MOST_EPOCHS + 1)


def test_any_offset_of_an_epoch_is_above_all_of_the_one_before() -> None:
    before, after = (first_offset(Settings(log_epoch=epoch)) for epoch in (6, 7))
    assert first_offset(Settings()) == 0
    assert after == before + OFFSETS_AN_EPOCH


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the consumer asks aiokafka, which knows Kafka's own numbers."""
    asked: dict[str, Any] = {}

    async def committed(_: Any, partition: TopicPartition) -> int | None:
        return 41 if partition == AT else None

    async def commit(_: Any, offsets: Any) -> None:
        asked["commit"] = offsets

    async def offsets_for_times(_: Any, times: Any) -> Any:
        return {AT: OffsetAndTimestamp(7, 1), TopicPartition("t.posts.v1", 4): None}

    async def getmany(_: Any, *partitions: TopicPartition, timeout_ms: int) -> Any:
        assert (partitions, timeout_ms) == ((AT,), 5)
        return {AT: [SimpleNamespace(offset=3), SimpleNamespace(offset=4)]}

    async def position(_: Any, partition: TopicPartition) -> int:
        return int(partition.partition)

    async def ends(_: Any, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 9)

    def highwater(_: Any, partition: TopicPartition) -> int | None:
        return 9 if partition == AT else None

    def seek(_: Any, partition: TopicPartition, offset: int) -> None:
        asked["seek"] = (partition, offset)

    for name, method in (
        ("committed", committed),
        ("commit", commit),
        ("offsets_for_times", offsets_for_times),
        ("getmany", getmany),
        ("position", position),
        ("beginning_offsets", ends),
        ("end_offsets", ends),
        ("highwater", highwater),
        ("seek", seek),
    ):
        monkeypatch.setattr(AIOKafkaConsumer, name, method)
    return asked


@pytest.fixture
async def consumer(broker: dict[str, Any]) -> AsyncIterator[EpochConsumer]:
    assert broker == {}
    opened = EpochConsumer(first=FIRST)
    yield opened
    await opened.stop()


async def test_what_is_sought_and_committed_is_kafkas_own_number(
    consumer: EpochConsumer, broker: dict[str, Any]
) -> None:
    consumer.seek(AT, FIRST + 5)
    assert broker["seek"] == (AT, 5)
    consumer.seek(AT, 5)
    assert broker["seek"] == (AT, 0), "an offset of an earlier epoch is before the first record"
    await consumer.commit({AT: FIRST + 8})
    assert broker["commit"] == {AT: OffsetAndMetadata(8, "")}
    await consumer.commit({AT: OffsetAndMetadata(FIRST + 9, "copying")})
    assert broker["commit"] == {AT: OffsetAndMetadata(9, "copying")}


async def test_all_that_is_read_has_the_epoch_above_it(consumer: EpochConsumer) -> None:
    fetched = await consumer.getmany(AT, timeout_ms=5)
    assert [record.offset for record in fetched[AT]] == [FIRST + 3, FIRST + 4]
    assert await consumer.position(AT) == FIRST + 3
    assert await consumer.beginning_offsets([AT]) == {AT: FIRST + 9}
    assert await consumer.end_offsets([AT]) == {AT: FIRST + 9}
    assert consumer.highwater(AT) == FIRST + 9
    assert consumer.highwater(TopicPartition("t.posts.v1", 4)) is None


def test_a_record_that_faust_hands_over_has_it_too() -> None:
    message = SimpleNamespace(
        partition=3, offset=8, key=b"k", value=b"v", headers=[("a", b"b")], timestamp=1500
    )
    assert _record("posts.v1", message, FIRST) == Record(
        "posts.v1", 3, FIRST + 8, b"k", b"v", {"a": b"b"}, 1500
    )
    worker = FaustConsumer(Settings(log_epoch=2))
    at = TopicPartition("fanfold.posts.v1", 3)
    assert worker._lag_of(at, 5, 9) == PartitionLag("posts.v1", 3, FIRST + 5, FIRST + 9)
    assert worker._lag_of(at, 5, None).records == 0


async def test_nothing_committed_and_nothing_found_stay_nothing(consumer: EpochConsumer) -> None:
    other = TopicPartition("t.posts.v1", 4)
    assert [await consumer.committed(partition) for partition in (AT, other)] == [FIRST + 41, None]
    found = await consumer.offsets_for_times({AT: 1, other: 1})
    assert found == {AT: OffsetAndTimestamp(FIRST + 7, 1), other: None}
