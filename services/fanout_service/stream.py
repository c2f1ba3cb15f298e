"""`Consumer` on Kafka, by Faust: only the safe part of Faust is used (docs/decisions/0005).

By default Faust loses events: an exception that leaves an agent acknowledges the event, and acknowledgements out of order
commit past work in flight. Here one agent a topic takes one batch at a time, and acknowledges it in order once the
handler has returned. No exception ever leaves an agent. Because a batch is acknowledged at once and in order, faust#606 (a commit
past the first unacknowledged event) can't happen, and Faust's commit path needs no patch: a partition belongs to one agent,
whose acknowledged offsets have no gaps.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import faust
from faust.exceptions import ConsumerNotStarted

from fanfold.adapters.kafka.admin import partition_counts
from fanfold.adapters.kafka.epoch import first_offset
from fanfold.adapters.kafka.security import client_security
from fanfold.core.errors import Fault
from fanfold.core.events import COMMANDS
from fanfold.core.exit_codes import ExitCode
from fanfold.core.lag import PartitionLag
from fanfold.core.ports.log import BatchHandler, Record
from fanfold.core.settings import Settings
from fanout_service.quick_consumer import Fetched, QuickApp, Taken

logger = logging.getLogger(__name__)

# The group's timeouts. A restarted worker with a fixed id is back before its session ends, and keeps its partitions.
_SESSION_S = 30.0
_HEARTBEAT_S = 3.0
_REBALANCE_S = 60.0
_REQUEST_S = 90.0
_COMMIT_S = 1.0
_STOP_S = 20.0

# A topic that is behind is paused when its buffer is 80 % full of fetches, each of one partition. What is fetched before all of its partitions are paused must
# still fit: 61 partitions are less than 20 % of 320. (A fetch is handed out partition by partition, so partitions don't take turns: `Progress` looks at topics.)
_BUFFERED_FETCHES = 320
_FETCHED_EVENTS = 32

# A slice is thousands of rows, and a batch must be finished before the worker can stop or hand over its partitions. So a
# batch of slices is only this many times the number delivered at a time.
_SLICE_BATCHES = 4


class FaustConsumer:
    """Consumes in the group `<topic_prefix>.fanout`. Call `run` once.

    If a handler raises, the process exits at once with status 75, and nothing of the batch is acknowledged: a graceful stop
    would first wait for an acknowledgement that never comes, and can't be cancelled. The same if Faust itself crashes.
    Tests replace `os._exit` by `leave`; if it returns, `run` raises the handler's error.
    """

    def __init__(self, settings: Settings, *, leave: Callable[[int], object] = os._exit) -> None:
        self._settings = settings
        self._leave = leave
        self._app: faust.App | None = None
        self._failure: asyncio.Future[BaseException] | None = None

    async def run(self, handlers: Mapping[str, BatchHandler]) -> None:
        counts = await self._checked_topics(handlers)
        self._failure = asyncio.get_running_loop().create_future()
        self._app = app = self._build(handlers, counts)
        crashed: asyncio.Future[Any] = asyncio.ensure_future(app.wait_until_stopped())
        try:
            await app.start()
            await asyncio.wait([crashed, self._failure], return_when=asyncio.FIRST_COMPLETED)
            if not self._failure.done():
                self._fail(Fault(f"Faust has crashed: {app.crash_reason!r}"))
            # Only tests get here: don't wait for the acknowledgement of the failed batch.
            app.conf.stream_wait_empty = False
            raise self._failure.result()
        finally:
            self._app = None
            await self._stop(app)
            crashed.cancel()

    def lag(self) -> list[PartitionLag]:
        """Each partition assigned to this worker; empty while none is.

        A worker is alive while `committed` grows wherever `records` is above 0.
        """
        if self._app is None:
            return []
        consumer: Any = self._app.consumer
        try:
            # There is no public way to the offset committed before this process's first commit.
            return [
                self._lag_of(at, consumer._committed_offset[at] or 0, consumer.highwater(at))  # noqa: SLF001
                for at in sorted(consumer.assignment())
            ]
        except (ConsumerNotStarted, AssertionError):
            # The consumer is starting, or a rebalance in its thread has just revoked a partition.
            return []

    def _lag_of(self, at: Any, committed: int, end: int | None) -> PartitionLag:
        topic = at.topic.removeprefix(f"{self._settings.topic_prefix}.")
        # Before the first fetch the end is not known.
        first = first_offset(self._settings)
        last = committed if end is None else end
        return PartitionLag(topic, at.partition, first + committed, first + last)

    async def _checked_topics(self, handlers: Mapping[str, BatchHandler]) -> Mapping[str, int]:
        # Faust ignores topics that are missing when it starts, and stays idle.
        counts = await partition_counts(self._settings)
        missing = handlers.keys() - counts.keys()
        if missing:
            raise Fault(f"no such topics: {sorted(missing)}; run `fanfold topics apply`")
        return counts

    def _build(
        self, handlers: Mapping[str, BatchHandler], partitions: Mapping[str, int]
    ) -> QuickApp:
        settings = self._settings
        brokers = settings.kafka_bootstrap.replace(" ", "").replace(",", ";")
        app = QuickApp(
            f"{settings.topic_prefix}.fanout",
            broker=f"kafka://{brokers}",
            broker_credentials=_credentials(settings),
            store="memory://",
            processing_guarantee="at_least_once",
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=settings.worker_id,
            key_serializer="raw",
            value_serializer="raw",
            topic_allow_declare=False,
            topic_disable_leader=True,
            # Otherwise Faust takes its own assignor, for tables that we do not have: it gives the remainder of every topic to the
            # same workers. Without it each topic, and the sum of all, is shared out to within one partition.
            table_standby_replicas=0,
            web_enabled=False,
            stream_wait_empty=True,
            stream_buffer_maxsize=_BUFFERED_FETCHES,
            broker_max_poll_records=_FETCHED_EVENTS,
            broker_commit_interval=_COMMIT_S,
            broker_session_timeout=_SESSION_S,
            broker_heartbeat_interval=_HEARTBEAT_S,
            broker_rebalance_timeout=_REBALANCE_S,
            broker_request_timeout=_REQUEST_S,
        )
        app.partitions = {
            f"{settings.topic_prefix}.{topic}": count for topic, count in partitions.items()
        }
        for topic, handler in handlers.items():
            # One agent a topic, so that a busy topic doesn't delay the others.
            app.agent(
                app.topic(f"{settings.topic_prefix}.{topic}", key_type=bytes, value_type=bytes),
                name=topic,
                concurrency=1,
            )(self._agent(topic, handler))
        return app

    def _agent(self, topic: str, handler: BatchHandler) -> Callable[[Any], Awaitable[None]]:
        settings = self._settings
        most, first = settings.take_events, first_offset(settings)
        if topic == COMMANDS:
            most = min(most, settings.slices_in_flight * _SLICE_BATCHES)

        async def handle(stream: Any) -> None:
            left: list[Fetched] = []
            while True:
                try:
                    taken = await self._take(stream, most, left)
                except StopAsyncIteration:
                    # So Faust tells the stream to end. If this left the agent, Faust would start it again while it stops.
                    return
                records = [
                    _record(topic, record, first) for part in taken.parts for record in part.records
                ]
                await self._handle(handler, records)
                stream.app.consumer.acknowledge(taken)

        return handle

    async def _take(self, stream: Any, most: int, left: list[Fetched]) -> Taken:
        """The records that have been fetched, at least one. `left` keeps what is more than `most` of them for the next batch.

        Records that come meanwhile are the next batch, which is larger the busier the worker is.
        """
        app: Any = stream.app
        queue = stream.channel.queue
        parts: list[Fetched] = []
        while not parts:
            room = most
            while room and (left or not parts or not queue.empty()):
                part: Fetched = left.pop() if left else await queue.get()
                if len(part.records) > room:
                    left.append(replace(part, records=part.records[room:]))
                    part = replace(part, records=part.records[:room])
                parts.append(part)
                room -= len(part.records)
            # Records from before a rebalance are fetched again after it.
            generation = app.consumer_generation_id if app.flow_control.is_active() else None
            parts = [part for part in parts if part.generation_id == generation]
        # A rebalance and a stop wait until these are acknowledged.
        taken: Taken = app.consumer.take(parts)
        return taken

    async def _handle(self, handler: BatchHandler, records: Sequence[Record]) -> None:
        try:
            await handler(records)
        except Exception as error:  # noqa: BLE001 - the edge: Faust acknowledges when an error leaves an agent
            self._fail(error)
            # Wait for ever: to return and to raise would both acknowledge.
            await asyncio.Event().wait()

    def _fail(self, error: BaseException) -> None:
        logger.critical("exiting to be restarted, nothing acknowledged", exc_info=error)
        self._leave(ExitCode.TRY_AGAIN)
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(error)

    async def _stop(self, app: faust.App) -> None:
        """Finish the batches in flight, acknowledge them, leave the group."""
        # A task of its own, because Faust's stop can't be cancelled.
        stopping = asyncio.ensure_future(app.stop())
        await asyncio.wait({stopping}, timeout=_STOP_S)
        if not stopping.done():
            logger.critical(
                "Faust did not stop within %s s: exiting, nothing acknowledged", _STOP_S
            )
            self._leave(ExitCode.TRY_AGAIN)
        elif error := stopping.exception():
            logger.warning("Faust stopped with an error", exc_info=error)


def _credentials(settings: Settings) -> Any:
    """`client_security` as Faust takes it."""
    security = client_security(settings)
    match security["security_protocol"]:
        case "PLAINTEXT":
            return None
        case "SSL":
            return faust.SSLCredentials(security["ssl_context"])
    return faust.SASLCredentials(
        username=security["sasl_plain_username"],
        password=security["sasl_plain_password"],
        mechanism=security["sasl_mechanism"],
        ssl_context=security["ssl_context"],
    )


def _record(topic: str, record: Any, first: int) -> Record:
    return Record(
        topic,
        record.partition,
        first + record.offset,
        record.key,
        record.value,
        dict(record.headers),
        record.timestamp,
    )
