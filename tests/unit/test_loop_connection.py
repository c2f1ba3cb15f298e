"""The driver's connection on the event loop: what is sent and received, by which thread, and the driver's timers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cassandra.connection import ConnectionShutdown

from fanfold.adapters.cassandra.loop_connection import LoopConnection, connection_on
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.virtual_loop import run_on_virtual_time

LARGE = bytes(range(256)) * 4_000


class Counted:
    """A socket that counts its system calls."""

    def __init__(self, wrapped: socket.socket) -> None:
        self.wrapped = wrapped
        self.sent = 0

    def send(self, data: bytes) -> int:
        self.sent += 1
        return self.wrapped.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)


Pair = tuple[Any, socket.socket]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca", name="ca")


@pytest.fixture(params=["plain", "TLS"])
async def pair(request: pytest.FixtureRequest, authority: Authority) -> AsyncIterator[Pair]:
    """A connection whose node is the other socket."""
    ours, node = socket.socketpair()
    node.settimeout(30)
    if request.param == "TLS":
        ours, node = await with_tls(ours, node, authority)

    class Connected(connection_on(asyncio.get_running_loop())):  # type: ignore[misc]
        received = b""

        def _connect_socket(self) -> None:
            self._socket = Counted(ours)

        def _send_options_message(self) -> None:
            pass

        def process_io_buffer(self) -> None:
            type(self).received += self._iobuf.getvalue()
            self._io_buffer.reset_io_buffer()

    connection: Any = Connected()
    yield connection, node
    connection.close()
    ours.close()
    node.close()


async def with_tls(
    ours: socket.socket, node: socket.socket, authority: Authority
) -> tuple[socket.socket, socket.socket]:
    identity = authority.identity("node")
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    server.load_cert_chain(identity.cert, identity.key)
    client.load_verify_locations(authority.ca)
    client.check_hostname = False
    return tuple(  # type: ignore[return-value]
        await asyncio.gather(
            asyncio.to_thread(client.wrap_socket, ours),
            asyncio.to_thread(server.wrap_socket, node, server_side=True),
        )
    )


async def soon(holds: Callable[[], bool]) -> None:
    async def asked() -> bool:
        return holds()

    await eventually(asked, within_s=30, what="it has happened", every_s=0.005)


def received(node: socket.socket, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        found += node.recv(1 << 16)
    return found


async def in_a_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    await asyncio.to_thread(thread.join)


async def test_what_is_pushed_in_one_turn_is_sent_in_order_in_one_call(pair: Pair) -> None:
    connection, node = pair
    for part in (b"a", b"b", b"c"):
        connection.push(part)
    # It wakes the loop, which by then waits for nothing else.
    threading.Timer(0.05, connection.push, [b"d"]).start()
    assert await asyncio.to_thread(received, node, b"d") == b"abcd"
    assert connection._socket.sent == 2


async def test_more_than_the_socket_takes_is_sent_when_it_takes_more(pair: Pair) -> None:
    connection, node = pair
    connection.push(LARGE)
    connection.push(b"end")
    # Nobody reads yet: one who does could take it all during the first call.
    await soon(lambda: connection._socket.sent == 1)

    assert await asyncio.to_thread(received, node, b"end") == LARGE + b"end"
    assert connection._socket.sent > 1
    loop = asyncio.get_running_loop()
    assert not loop.remove_writer(connection._socket.fileno()), "nothing is left to be sent"
    connection.push(b"more")
    assert await asyncio.to_thread(received, node, b"more") == b"more"


async def test_what_arrives_is_the_drivers_to_read(pair: Pair) -> None:
    connection, node = pair
    await asyncio.to_thread(node.sendall, LARGE)
    await soon(lambda: len(connection.received) == len(LARGE))
    assert connection.received == LARGE


async def test_a_node_that_closes_fails_what_was_asked_once(pair: Pair) -> None:
    connection, node = pair
    answers: list[Any] = []
    connection._requests[1] = (answers.append, None, None)
    await asyncio.sleep(0)
    node.sendall(b"last")
    node.close()
    await soon(lambda: connection.is_closed)
    connection.close()
    assert connection.received == b"last"
    assert [type(answer) for answer in answers] == [ConnectionShutdown]


@pytest.mark.parametrize("begun", [True, False])
async def test_closed_by_another_thread_it_lets_go_of_its_descriptor_on_the_loop(
    pair: Pair, begun: bool
) -> None:
    connection, node = pair
    if begun:
        await asyncio.sleep(0)
    descriptor = connection._socket.fileno()
    threads: list[int] = []
    close = connection._socket.wrapped.close

    def noted() -> None:
        threads.append(threading.get_ident())
        close()

    connection._socket.close = noted
    await in_a_thread(connection.close)
    await soon(lambda: connection._socket.fileno() == -1)
    assert threads == [threading.get_ident()]
    assert not asyncio.get_running_loop().remove_reader(descriptor)
    connection.push(b"late")
    await asyncio.sleep(0)
    assert node.recv(10) == b""


def test_a_timer_calls_once_in_its_time_and_not_when_it_is_cancelled() -> None:
    async def timed() -> None:
        create = connection_on(asyncio.get_running_loop()).create_timer
        called: list[str] = []
        create(1.0, lambda: called.append("kept"))
        cancelled = create(1.0, lambda: called.append("cancelled"))
        late = create(1.0, lambda: called.append("cancelled when it was due"))
        await asyncio.sleep(0.9)
        cancelled.cancel()
        assert called == []
        await asyncio.sleep(0.101)
        late.cancel()
        await asyncio.sleep(1)
        assert called == ["kept"]

    run_on_virtual_time(timed())


async def test_timers_are_made_and_cancelled_by_any_thread_and_call_on_the_loop() -> None:
    create = connection_on(asyncio.get_running_loop()).create_timer
    called: list[int] = []

    def made() -> None:
        create(0, lambda: called.append(threading.get_ident()))
        create(0.01, lambda: called.append(0)).cancel()

    await in_a_thread(made)
    await soon(lambda: bool(called))
    await asyncio.sleep(0.03)
    assert called == [threading.get_ident()]


async def test_an_answer_that_has_arrived_is_read_before_its_timer_calls(pair: Pair) -> None:
    """The loop was held, as by a pause of the whole process: the timer is due, and so is the answer."""
    connection, node = pair
    await asyncio.sleep(0)
    seen: list[bytes] = []
    timer = connection.create_timer(0.005, lambda: seen.append(connection.received))
    node.sendall(b"answer")
    threading.Event().wait(0.02)
    await soon(lambda: bool(seen))
    assert seen == [b"answer"]
    timer.cancel()


def test_the_drivers_threads_may_go_on_after_the_loop_is_closed() -> None:
    made: list[type[LoopConnection]] = []

    async def make() -> None:
        made.append(connection_on(asyncio.get_running_loop()))

    asyncio.run(make())
    thread = threading.Thread(target=lambda: made[0].create_timer(0, print).cancel())
    thread.start()
    thread.join()
