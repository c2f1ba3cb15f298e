"""`EventLog` on Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import NamedTuple, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from fanfold.adapters.kafka.epoch import first_offset
from fanfold.adapters.kafka.producer import RenewedProducer
from fanfold.adapters.kafka.reader import RecordReader
from fanfold.adapters.kafka.tail import KafkaTail
from fanfold.core import tracing
from fanfold.core.clock import Clock
from fanfold.core.dead_letters import as_dead_letter, as_replay
from fanfold.core.errors import LogUnavailable, Rejected
from fanfold.core.events import Encoded, Event, encode
from fanfold.core.ports.log import Position, Record, Tail
from fanfold.core.settings import Settings

# The rest of the request timeout is for the answer.
_SHARE_OF_REQUEST = 0.8
_SKEW_KEPT_S = 10.0
_LOG_APPEND_TIME = 1


class _Skew(NamedTuple):
    ms: int
    measured_at_s: float


class KafkaLog:
    """The real log: an async context manager. Opening doesn't wait for Kafka.

    Until Kafka answers, appending raises `Unavailable`, like `ping`. An event over Kafka's message size (1 MiB)
    raises `Rejected`. The topics must have been applied.
    """

    def __init__(self, settings: Settings, *, clock: Clock, source: str) -> None:
        self._settings = settings
        self._clock = clock
        self._source = source
        self._timeout_s = settings.request_timeout_s * _SHARE_OF_REQUEST
        self._producer = RenewedProducer(settings, clock=clock, timeout_s=self._timeout_s)
        self._reader = RecordReader(settings)
        self._skew: _Skew | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._producer)
        await self._open.enter_async_context(self._reader)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def append(self, event: Event) -> Position | None:
        with tracing.sending(event.topic):
            (acknowledged,) = await self._append([self._encoded(event)])
        # A deduplicated batch is acknowledged with offset -1 and no append time. aiokafka adds the record's index in the
        # batch to the -1, so only the missing time shows it.
        if acknowledged.timestamp_type != _LOG_APPEND_TIME:
            return None
        offset = first_offset(self._settings) + acknowledged.offset
        return Position(event.topic, acknowledged.partition, offset)

    async def append_many(self, batch: Sequence[Event]) -> None:
        if batch:
            with tracing.sending(batch[0].topic, len(batch)):
                await self._append([self._encoded(event) for event in batch])

    async def dead_letter(self, record: Record, reason: str) -> None:
        await self._append([as_dead_letter(record, reason)])

    async def replay(self, records: Sequence[Record]) -> None:
        await self._append([as_replay(record) for record in records])

    async def read(self, position: Position) -> Record | None:
        return await self._reader.read(position)

    def tail(self, topics: Sequence[str], *, since_ms: int) -> AbstractAsyncContextManager[Tail]:
        return KafkaTail(self._settings, topics, since_ms=since_ms, clock=self._clock)

    def clock_skew_ms(self) -> int | None:
        skew = self._skew
        if skew is None or self._clock.monotonic_s() - skew.measured_at_s > _SKEW_KEPT_S:
            return None
        return skew.ms

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                producer = await self._producer.current()
                answered = await producer.client.force_metadata_update()
        except (KafkaError, TimeoutError) as error:
            raise LogUnavailable("Kafka does not answer") from error
        if not answered:
            raise LogUnavailable("Kafka does not answer")

    def _encoded(self, event: Event) -> Encoded:
        return encode(
            event,
            source=self._source,
            now_ms=self._clock.now_ms(),
            extensions=tracing.carried(),
        )

    async def _append(self, records: Sequence[Encoded]) -> list[RecordMetadata]:
        sent_at_ms = self._clock.now_ms()
        producer: AIOKafkaProducer | None = None
        sending: list[asyncio.Future[RecordMetadata]] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                producer = await self._producer.current()
                for record in records:
                    sending.append(await self._send(producer, record))  # noqa: PERF401
                # Of one record without the task that gathers many.
                acknowledged = (
                    [await sending[0]] if len(sending) == 1 else await asyncio.gather(*sending)
                )
        except MessageSizeTooLargeError as error:
            raise Rejected(str(error)) from error
        except (KafkaError, TimeoutError) as error:
            if producer is not None:
                self._producer.discard(producer)
            raise LogUnavailable(f"Kafka did not acknowledge: {error!r}") from error
        finally:
            for sent in sending:
                if not sent.cancel() and not sent.cancelled():
                    sent.exception()  # Retrieved, so that asyncio doesn't report it.
        self._measure_skew(acknowledged[-1:], sent_at_ms)
        return acknowledged

    async def _send(
        self, producer: AIOKafkaProducer, record: Encoded
    ) -> asyncio.Future[RecordMetadata]:
        sent: asyncio.Future[RecordMetadata] = await producer.send(
            f"{self._settings.topic_prefix}.{record.topic}",
            key=record.key,
            value=record.value,
            headers=record.headers,
        )
        return sent

    def _measure_skew(self, acknowledged: Sequence[RecordMetadata], sent_at_ms: int) -> None:
        for ack in acknowledged:
            if ack.timestamp_type != _LOG_APPEND_TIME:
                continue
            # The log stamped the record at some moment between sending and now. Take the smallest skew that is consistent
            # with that, so that a slow acknowledgement is not mistaken for a wrong clock.
            now_ms, appended_at_ms = self._clock.now_ms(), ack.timestamp
            skew_ms = max(sent_at_ms - appended_at_ms, 0) + min(now_ms - appended_at_ms, 0)
            self._skew = _Skew(skew_ms, self._clock.monotonic_s())
