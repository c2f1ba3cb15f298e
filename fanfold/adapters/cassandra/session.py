"""Cassandra's driver on asyncio: connecting, calling, paging, and translating the driver's errors."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Any

from cassandra.cluster import Session
from cassandra.policies import FallthroughRetryPolicy
from cassandra.query import BoundStatement, PreparedStatement

from fanfold.adapters.cassandra.call import Call
from fanfold.adapters.cassandra.connect import connect
from fanfold.adapters.cassandra.driver_errors import DRIVER_ERRORS, one_line, translated
from fanfold.adapters.cassandra.loop_connection import connection_on
from fanfold.adapters.cassandra.packed import PackedBatch, Packing
from fanfold.adapters.cassandra.statement import Statement
from fanfold.adapters.metrics import STATEMENTS
from fanfold.core.errors import FanfoldError, TablesUnavailable
from fanfold.core.settings import Settings

log = logging.getLogger(__name__)

# The driver refuses at 32,768 on a connection; long before that, more in flight only adds latency.
STATEMENTS_IN_FLIGHT = 256
CONNECT_AGAIN_S = 1.0
UNREACHABLE_S = 5.0
"""Once no node has been up for this long, the contact points are resolved again: the nodes may have other addresses now."""

PING = "SELECT version FROM schema_migrations LIMIT 1"

Row = tuple[Any, ...]


class CassandraSession:
    """A session for one event loop. Entering it starts to connect; until that succeeds, every call raises `Unavailable`.

    Calls raise `Unavailable` within `cassandra_timeout_s` of being sent, and `Fault` for an error that a retry can't fix.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._statements: list[Statement] = []
        self._session: Session | None = None
        self._why_not = "not connected yet"
        self._in_flight = asyncio.Semaphore(STATEMENTS_IN_FLIGHT)
        self._unanswered = 0
        self._answered: deque[tuple[Call, Any, BaseException | None]] = deque()
        self._wake_up_sent = False
        self._ping = self.statement(PING)

    def statement(self, cql: str, *, conditional: bool = False) -> Statement:
        """Register a statement, before entering."""
        self._statements.append(statement := Statement(cql, conditional=conditional))
        return statement

    async def __aenter__(self) -> CassandraSession:
        self._loop = asyncio.get_running_loop()
        self._connection = connection_on(self._loop)
        self._closing = asyncio.Event()
        tried_once = asyncio.Event()
        self._connecting = asyncio.create_task(self._stay_connected(tried_once))
        # Usually Cassandra is there, and then a caller may start with a store that answers.
        await tried_once.wait()
        # Read only at each scrape: updating a gauge twice for each statement would cost too much.
        STATEMENTS.set_function(lambda: self._unanswered)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        STATEMENTS.set_function(lambda: 0)
        await self._connecting
        if self._session is not None:
            await asyncio.to_thread(self._session.cluster.shutdown)
            self._session = None

    async def rows(self, statement: Statement, *values: Any) -> list[Row]:
        """Run a statement and read all pages of its result."""
        return await self.rows_of(self.prepared(statement).bind(values))

    async def rows_of(self, bound: BoundStatement) -> list[Row]:
        """The same of a statement with its values."""
        call = await self._started(bound)
        rows: list[Row] = await call.answer or []
        while call.next_page is not None:
            call = await self._started(bound, call.next_page)
            rows.extend(await call.answer or [])
        return rows

    async def pages(self, statement: Statement, *values: Any) -> AsyncIterator[list[Row]]:
        """Run a statement and read its result page by page: for a whole table."""
        bound = self.prepared(statement).bind(values)
        call = await self._started(bound)
        yield await call.answer or []
        while call.next_page is not None:
            call = await self._started(bound, call.next_page)
            yield await call.answer or []

    async def row(self, statement: Statement, *values: Any) -> Row | None:
        """Run a statement whose result is at most one row."""
        rows = await self.rows(statement, *values)
        return rows[0] if rows else None

    async def run(self, statement: Statement, *values: Any) -> None:
        """Run a statement without a result."""
        await (await self._started(self.prepared(statement).bind(values))).answer

    async def ping(self) -> None:
        """Return if a quorum answers and the schema exists."""
        await self.run(self._ping)

    def send(self, batch: PackedBatch) -> asyncio.Future[Any]:
        """Send a batch at once. The caller bounds the number in flight. Errors are in the future."""
        call = Call(self._loop.create_future(), counted=False)
        self._start(call, batch)
        return call.answer

    def prepared(self, statement: Statement) -> PreparedStatement:
        """The driver's statement. Raises `Unavailable` until connected."""
        if self._session is None or statement.prepared is None:
            raise TablesUnavailable(f"Cassandra: {self._why_not}")
        return statement.prepared

    def packing(self, statement: Statement) -> Packing:
        """For rows of a statement that binds the whole partition key. Raises `Unavailable` until connected."""
        return statement.packing_of(self.prepared(statement))

    @property
    def metadata(self) -> Any:
        """The driver's view of the ring. Raises `Unavailable` until connected."""
        if self._session is None:
            raise TablesUnavailable(f"Cassandra: {self._why_not}")
        return self._session.cluster.metadata

    async def _started(self, bound: BoundStatement, page: bytes | None = None) -> Call:
        await self._enter()
        # Each page is a statement of its own: an answer that comes late belongs to the page that it was asked for.
        call = Call(self._loop.create_future(), counted=True)
        self._start(call, bound, page)
        return call

    async def _enter(self) -> None:
        if not self._in_flight.locked():
            await self._in_flight.acquire()
            return
        try:
            async with asyncio.timeout(self._settings.cassandra_timeout_s):
                await self._in_flight.acquire()
        except TimeoutError:
            raise TablesUnavailable(
                f"Cassandra: {STATEMENTS_IN_FLIGHT} statements in flight"
            ) from None

    def _start(self, call: Call, query: Any, page: bytes | None = None) -> None:
        self._unanswered += 1
        if self._session is None:
            self._finish(call, None, TablesUnavailable(f"Cassandra: {self._why_not}"))
            return
        try:
            call.response = self._session.execute_async(query, paging_state=page)
        except DRIVER_ERRORS as error:
            self._finish(call, None, error)
            return
        call.response.add_callbacks(
            callback=self._succeeded,
            callback_args=(call,),
            errback=self._failed,
            errback_args=(call,),
        )

    # The next two run where the driver learns of it: on the loop, or on a thread of the driver's, as when a heartbeat fails. Many
    # answers arrive in one turn of the loop; one turn more serves them all.

    def _succeeded(self, rows: Any, call: Call) -> None:
        if call.is_first_answer():
            self._answered.append((call, rows, None))
            self._wake_up()

    def _failed(self, error: BaseException, call: Call) -> None:
        if call.is_first_answer():
            self._answered.append((call, None, error))
            self._wake_up()

    def _wake_up(self) -> None:
        if not self._wake_up_sent:
            self._wake_up_sent = True
            self._connection.on.call(self._drain)

    def _drain(self) -> None:
        # Reset first, so that an answer added meanwhile wakes the loop again.
        self._wake_up_sent = False
        while self._answered:
            self._finish(*self._answered.popleft())

    def _finish(self, call: Call, rows: Any, error: BaseException | None) -> None:
        self._unanswered -= 1
        # Here and not where it is awaited: the statement of a cancelled caller is still in flight.
        if call.counted:
            self._in_flight.release()
        call.release()
        if call.answer.done():
            return
        if error is None:
            call.answer.set_result(rows)
        else:
            call.answer.set_exception(translated(error))

    async def _stay_connected(self, tried_once: asyncio.Event) -> None:
        """Connect, and again whenever no node has been up for a while. The driver resolves names only when it connects."""
        down_s = 0.0
        while not self._closing.is_set():
            down_s = 0.0 if self._reaches_a_node() else down_s + CONNECT_AGAIN_S
            try:
                if self._session is None or down_s >= UNREACHABLE_S:
                    await self._try_to_connect()
                    down_s = 0.0
            finally:
                tried_once.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_AGAIN_S):
                    await self._closing.wait()

    def _reaches_a_node(self) -> bool:
        # The driver's own threads find out: by a failed statement, or by a heartbeat.
        return self._session is not None and any(
            host.is_up and host.datacenter == self._settings.cassandra_datacenter
            for host in self._session.cluster.metadata.all_hosts()
        )

    async def _try_to_connect(self) -> None:
        try:
            connected = await asyncio.to_thread(self._connect_and_prepare)
        except (*DRIVER_ERRORS, FanfoldError) as error:
            # A missing keyspace or table too: `schema migrate` may be about to run.
            self._why_not = one_line(error)
            log.warning("Cassandra: %s; trying again", self._why_not)
            return
        before, self._session = self._session, connected
        log.info("connected to Cassandra")
        if before is not None:
            await asyncio.to_thread(before.cluster.shutdown)

    def _connect_and_prepare(self) -> Session:
        # Each statement names the keyspace: after a USE, nodes may give one statement two ids.
        session = connect(self._settings, keyspace=None, connection=self._connection)
        try:
            for statement in self._statements:
                prepared = session.prepare(
                    statement.cql, keyspace=self._settings.cassandra_keyspace
                )
                # If the driver repeated a transaction by itself, it would report its own first attempt as a rival's.
                prepared.is_idempotent = not statement.conditional
                if statement.conditional:
                    prepared.retry_policy = FallthroughRetryPolicy()
                statement.prepared = prepared
        except DRIVER_ERRORS:
            session.cluster.shutdown()
            raise
        return session
