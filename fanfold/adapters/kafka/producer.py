"""One idempotent producer at a time: connected in the background, replaced when an append fails."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

from fanfold.adapters.kafka.clients import make_producer
from fanfold.core.clock import Clock
from fanfold.core.settings import Settings

logger = logging.getLogger(__name__)

_RECONNECT_S = 0.2
_STOP_S = 5.0
# A batch of an `append_many` goes in one request; aiokafka's 16 KiB would make four of it.
_MAX_BATCH_BYTES = 64 * 1024


class RenewedProducer:
    """An async context manager around the current producer. Entering doesn't wait for Kafka.

    An idempotent aiokafka producer never gives up a record: it would deliver one whose append was answered
    503 long ago as soon as the broker is back, and after some outages it is stuck on OutOfOrderSequenceNumber
    for good (aiokafka#1017). So when an append fails, its caller discards the producer with everything that waits in it.
    """

    def __init__(self, settings: Settings, *, clock: Clock, timeout_s: float) -> None:
        self._settings = settings
        self._clock = clock
        self._timeout_s = timeout_s
        self._connecting: asyncio.Task[_Producer] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._open = False

    async def __aenter__(self) -> RenewedProducer:
        self._open = True
        self._renew()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        connecting, self._connecting = self._connecting, None
        if connecting and connecting.done() and not connecting.cancelled():
            await connecting.result().finish()
        elif connecting:
            connecting.cancel()
            await asyncio.wait({connecting})
        if self._closing:
            await asyncio.wait(self._closing)

    async def current(self) -> AIOKafkaProducer:
        """The connected producer; waits as long as connecting takes. Raises `ProducerClosed` after the exit."""
        if not self._open:
            raise ProducerClosed
        connecting = self._connecting or self._renew()
        if not connecting.done():
            # Shielded: an append that gives up must not cancel the connecting for the others.
            await asyncio.shield(connecting)
        return connecting.result().kafka

    def discard(self, kafka: AIOKafkaProducer) -> None:
        """Fail everything that waits in this producer and connect another. Idempotent.

        On return it sends nothing more; what is on the wire already may still arrive.
        """
        connecting = self._connecting
        if connecting is None or not connecting.done() or connecting.result().kafka is not kafka:
            return
        logger.warning("discarding a Kafka producer whose append failed")
        producer = connecting.result()
        producer.drop()
        closing = asyncio.create_task(producer.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._renew()

    def _renew(self) -> asyncio.Task[_Producer]:
        self._connecting = asyncio.create_task(self._connect())
        return self._connecting

    async def _connect(self) -> _Producer:
        while True:
            producer = _Producer(self._settings, self._timeout_s)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await producer.kafka.start()
            except (KafkaError, TimeoutError, OSError) as error:
                logger.warning("no connection to Kafka yet: %s", error)
            else:
                return producer
            finally:
                if not producer.ready:
                    producer.drop()
                    await producer.close()
            await self._clock.sleep(_RECONNECT_S)


class _Producer:
    """An aiokafka producer that can be dropped at once.

    aiokafka has no public way: its `stop` flushes, and so waits for the broker. Hence the private names here, which are
    those of the pinned version; `tests/faults/test_kafka_outage.py` fails if their meaning changes.
    """

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        timeout_ms = int(timeout_s * 1000)
        self.kafka = make_producer(
            settings, request_timeout_ms=timeout_ms, max_batch_size=_MAX_BATCH_BYTES
        )
        self._requests: set[asyncio.Task[Any]] = set()
        self._send_request = self.kafka._sender._send_produce_req  # noqa: SLF001
        self.kafka._sender._send_produce_req = self._tracked_request  # noqa: SLF001

    @property
    def ready(self) -> bool:
        return self.kafka._sender.sender_task is not None  # noqa: SLF001

    def drop(self) -> None:
        """Forget every record that isn't on the wire."""
        kafka = self.kafka
        kafka._closed = True  # noqa: SLF001
        # A request may be waiting for its connection: cancelling the sender alone would let it go out later.
        for request in self._requests:
            request.cancel()
        if kafka._sender.sender_task is not None:  # noqa: SLF001
            kafka._sender.sender_task.cancel()  # noqa: SLF001
        kafka._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001

    async def close(self) -> None:
        """Close the connections of a dropped producer, those included that its tasks were opening."""
        sender = self.kafka._sender.sender_task  # noqa: SLF001
        cancelled = {*self._requests, *((sender,) if sender is not None else ())}
        if cancelled:
            await asyncio.wait(cancelled, timeout=_STOP_S)
        await self.kafka.client.close()

    async def finish(self) -> None:
        """Flush and close; drop what the broker doesn't acknowledge in time."""
        stopping = asyncio.create_task(self.kafka.stop())
        await asyncio.wait({stopping}, timeout=_STOP_S)
        if not stopping.done():
            self.drop()
            await self.close()

    async def _tracked_request(self, node_id: Any, batches: Any) -> None:
        request = asyncio.current_task()
        assert request is not None  # noqa: S101 - the sender runs each request as a task
        self._requests.add(request)
        try:
            await self._send_request(node_id, batches)
        finally:
            self._requests.discard(request)
