"""Faust's consumer without what it makes for each record, which cost more than the projection of a like.

And without two ways in which it waits for ever, or for minutes, after a broker or the process itself was frozen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from mode.utils.futures import notify

from fanout_service.share_partitions import RoundRobin


class _Thread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        app: Any = self.app
        # aiokafka takes it when the consumer starts; Faust has no setting for it.
        consumer._partition_assignment_strategy = [RoundRobin(app.partitions)]  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        consumer: Any = self._ensure_consumer()
        ask_leaders_again(consumer._fetcher, consumer._client)  # noqa: SLF001

    async def _fetch_records(self, consumer: Any, *arguments: Any, **options: Any) -> Any:
        # When the group can't go on, aiokafka waits until somebody asks for the error; Faust never does, and the worker
        # would have no partitions for ever. Raised here, it ends the process, and the one started in its place joins the group.
        consumer._coordinator.check_errors()  # noqa: SLF001
        return await super()._fetch_records(consumer, *arguments, **options)


def ask_leaders_again(fetcher: Any, client: Any) -> None:
    """Look for a partition's new leader when the old one refuses to name the first offset.

    aiokafka asks the same broker again, ten times a second, until the next scheduled look, five minutes later; meanwhile it fetches nothing
    else from that broker. After a rebalance each partition without an acknowledged record asks for its first offset.
    """
    ask = fetcher._proc_offset_request  # noqa: SLF001

    async def asking(node_id: Any, partitions: Any) -> Any:
        try:
            return await ask(node_id, partitions)
        except KafkaError as error:
            if error.invalid_metadata:
                client.force_metadata_update()
            raise

    fetcher._proc_offset_request = asking  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition that one fetch returned, in order. `generation_id` is the group's at that time."""

    partition: TP
    generation_id: int
    records: Sequence[Any]


class Taken:
    """A batch that is being handled. A rebalance and a stop wait as long as Faust knows of one that is not `acked`."""

    refcount = 1
    acked = False

    def __init__(self, parts: Sequence[Fetched]) -> None:
        self.parts = parts


class QuickConsumer(Consumer):
    """Hands over what a fetch returned as one item of the agent's queue, and acknowledges a batch in one step.

    Faust makes a message, an event, four coroutines and two locks for each record.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Faust's queues know these by identity.
        self._on_pressure: dict[TP, tuple[Callable[[], None], Callable[[], None]]] = {}

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Fetch and hand over until either is stopped."""
        stopped_errors: Any = self.consumer_stopped_errors
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):  # noqa: SLF001
                # A fetch may return without waiting for anything, again and again.
                await asyncio.sleep(0)
                await self._fetch()
        except (asyncio.CancelledError, *stopped_errors):
            if not self.transport.app.should_stop:
                raise

    async def _fetch(self) -> None:
        """Fetch once, and hand over what was fetched unless a rebalance begins meanwhile: then it is fetched again."""
        fetched, active = await self._wait_next_records(timeout=1.0)
        generation_id = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        if not self.flow_active:
            await self._fetch_again()
            return
        for of_kafka, records in fetched.items():
            # Faust refuses its own sets of partitions as soon as there is one of aiokafka's in them.
            partition = TP(*of_kafka)
            if not self.app.flow_control.is_active():
                await self.wait_first(self.app.flow_control.acquire(), self.suspend_flow.wait())
            if not self.flow_active or self.app.consumer_generation_id != generation_id:
                return
            if active is None or partition in active or partition in self._buffered_partitions:
                read = self._read_offset[partition] or 0
                unread = [record for record in records if record.offset >= read]
                if unread:
                    await self._note_gaps(partition, unread)
                    self._hand_over(Fetched(partition, generation_id, unread))

    async def _fetch_again(self) -> None:
        """What a fetch returned during a rebalance belongs to nobody."""
        try:
            await self.perform_seek()
        except Exception as error:  # noqa: BLE001 - as Faust does: the rebalance itself seeks too
            self.log.warning("the partitions were not set back: %r", error)

    async def _note_gaps(self, partition: TP, records: Sequence[Any]) -> None:
        """Offsets that the log doesn't hold, so that a commit passes over them."""
        read = self._read_offset[partition]
        for record in records:
            # Faust would take offset 0 for none.
            if read is not None and record.offset - read > 1:
                await self._add_gap(partition, read + 1, record.offset - 1)
            read = record.offset

    def _hand_over(self, fetched: Fetched) -> None:
        partition, records = fetched.partition, fetched.records
        if partition not in self._on_pressure:
            self._on_pressure[partition] = (
                partial(self.on_buffer_full, partition),
                partial(self.on_buffer_drop, partition),
            )
        high, drop = self._on_pressure[partition]
        conductor: Any = self.app.topics
        # Faust's own callback does the same. During a rebalance a partition may not be there yet: before its flow begins it is sought again.
        for topic in conductor._tp_index[partition]:  # noqa: SLF001
            topic.queue.put_nowait_enhanced(fetched, on_pressure_high=high, on_pressure_drop=drop)
        self._read_offset[partition] = records[-1].offset

    def take(self, parts: Sequence[Fetched]) -> Taken:
        """Note that these are being handled."""
        taken = Taken(parts)
        self._unacked().add(taken)
        return taken

    def acknowledge(self, taken: Taken) -> None:
        """Acknowledge all records of a batch: the next commit includes them."""
        for part in taken.parts:
            partition = part.partition
            committed = self._committed_offset[partition] or 0
            acked, index = self._acked[partition], self._acked_index[partition]
            for record in part.records:
                if record.offset >= committed and record.offset not in index:
                    acked.append(record.offset)
                    index.add(record.offset)
        taken.acked = True
        self._unacked().discard(taken)
        notify(self._waiting_for_ack)

    def _unacked(self) -> Any:
        """Faust expects messages there. It asks them nothing but what a `Taken` answers."""
        return self.unacked


class _Transport(Transport):
    Consumer = QuickConsumer


class QuickApp(faust.App):
    """An app with this consumer, and without Faust's directories, which stay empty without tables."""

    partitions: Mapping[str, int]
    """The number of each topic's partitions, by full name; set before the app starts."""

    def _new_transport(self) -> Transport:
        return _Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Create none."""
