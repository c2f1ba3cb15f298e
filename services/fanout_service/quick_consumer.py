"""Faust's consumer without the four tasks that it makes for each record, which cost as much as the projection of a like.

And without two ways in which it waits for ever, or for minutes, after a broker or the process itself was frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from types import coroutine
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from mode.services import WaitResults

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


class QuickConsumer(Consumer):
    """Hands a record to its agent's queue at once where Faust would wait for the first of two things."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def wait_first(self, *waited: Any, timeout: Any = None) -> WaitResults:
        """Does what Faust's method does, which always needs two coroutines for a record: the handing over, and the wait for a rebalance."""
        if len(waited) != 2 or timeout is not None or not self.app.flow_control.is_active():
            return await super().wait_first(*waited, timeout=timeout)
        handing_over, rebalance = waited
        try:
            yielded = handing_over.send(None)
        except BaseException as ended:
            rebalance.close()
            if not isinstance(ended, StopIteration):
                raise
            return WaitResults([handing_over], [ended.value], self.should_stop)
        # The queue is full, or a rebalance has just begun.
        return await super().wait_first(rest_of(handing_over, yielded), rebalance)


async def rest_of(started: Coroutine[Any, Any, Any], yielded: Any) -> Any:
    """The rest of a coroutine that was started by hand, and waits for the future that it yielded."""
    return await _stepped(started, yielded)


@coroutine
def _stepped(started: Coroutine[Any, Any, Any], yielded: Any) -> Generator[Any, Any, Any]:
    step: Callable[[Any], Any]
    while True:
        try:
            sent = yield yielded
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
            step, argument = started.throw, error
        else:
            step, argument = started.send, sent
        try:
            yielded = step(argument)
        except StopIteration as done:
            return done.value


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
