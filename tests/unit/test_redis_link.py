"""The connection to the shared cache's server, against a server of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread

import pytest

from fanfold.adapters.redis.address import Address, CacheUrl
from fanfold.adapters.redis.connection import Connection
from fanfold.adapters.redis.greeting import greet, identity
from fanfold.adapters.redis.link import Link, ServerError, checked, pack
from fanfold.adapters.redis.master import OneServer
from fanfold.adapters.redis.scripts import ALL
from fanfold.core.clock import SystemClock
from fanfold.core.errors import CacheUnavailable
from fanfold.core.settings import Settings
from tests.support.eventually import eventually
from tests.support.own_time import own_s
from tests.support.redis_servers import Serve, served

TIMEOUT_S = 0.2
LOADED = "$3\r\nsha\r\n" * len(ALL)


@asynccontextmanager
async def a_link(serve: Serve) -> AsyncIterator[Link]:
    async with served(serve) as port:
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: Link(timeout_s=TIMEOUT_S), "127.0.0.1", port
        )
        yield link
        link.close()


def address_of(settings: Settings) -> Address:
    (address,) = CacheUrl.of(settings).addresses
    return address


def answering(*answers: bytes, after_s: float = 0) -> Serve:
    """Each answer after one more question."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(100_000)
            await asyncio.sleep(after_s)
            writer.write(answer)
            await writer.drain()

    return serve


async def test_answers_come_in_the_order_of_the_questions() -> None:
    async with a_link(answering(b"+one\r\n:2\r\n$-1\r\n")) as link:
        first, second = link.ask(("A",), ("B", b"\0", 1)), link.ask(("C",))
        assert await first == [b"one", 2]
        assert await second == [None]


class Sent(asyncio.Transport):
    """What was sent, in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def abort(self) -> None:
        pass


async def test_what_needs_no_answer_travels_with_the_next_question_or_after_a_moment() -> None:
    sent, link = Sent(), Link(timeout_s=60)
    link.connection_made(sent)
    link.say(("A",))
    link.say(("B",))
    await asyncio.sleep(0)
    assert sent.pieces == []
    asked = link.ask(("C",))
    await asyncio.sleep(0)
    assert sent.pieces == [pack([("A",), ("B",), ("C",)])]
    link.data_received(b":1\r\n:2\r\n:3\r\n")
    assert await asked == [3]
    link.say(("D",))

    async def is_sent() -> bool:
        return len(sent.pieces) == 2

    await eventually(is_sent, within_s=30, what="what was said goes alone", every_s=0.005)
    assert sent.pieces[1] == pack([("D",)])
    link.close()


async def test_what_is_asked_in_one_turn_of_the_loop_is_sent_in_one_piece() -> None:
    pieces = (sent := Sent()).pieces
    link = Link(timeout_s=TIMEOUT_S)
    link.connection_made(sent)
    first, second = link.ask(("A",)), link.ask(("B",), ("C",))
    link.say(("D",))
    await asyncio.sleep(0)
    assert pieces == [pack([("A",), ("B",), ("C",), ("D",)])]
    link.data_received(b":1\r\n:2\r\n:3\r\n:4\r\n")
    assert (await first, await second) == ([1], [2, 3])
    left = link.ask(("E",))
    link.close()
    await asyncio.sleep(0)
    assert len(pieces) == 1, "a closed connection sends nothing"
    with pytest.raises(CacheUnavailable):
        await left


async def test_an_answer_of_no_interest_is_passed_over() -> None:
    async with a_link(answering(b"-ERR no\r\n:2\r\n")) as link:
        link.say(("A",))
        assert await link.ask(("B",)) == [2]


async def test_an_error_is_an_answer_to_its_question_alone() -> None:
    async with a_link(answering(b"-OOM full\r\n:2\r\n")) as link:
        first, second = link.ask(("A",)), link.ask(("B",))
        (error,) = await first
        assert isinstance(error, ServerError)
        assert error.code == "OOM"
        with pytest.raises(ServerError, match="OOM full"):
            checked([error])
        assert await second == [2]


async def test_an_error_does_not_say_what_was_sent() -> None:
    said = b"-ERR unknown command 'AUTH', with args beginning with: 'alice' 'open sesame' \r\n"
    async with a_link(answering(said)) as link:
        (error,) = await link.ask(("AUTH", "alice", "open sesame"))
        assert str(error) == "ERR unknown command 'AUTH'"


async def test_a_caller_who_gives_up_leaves_the_others_their_answers() -> None:
    async with a_link(answering(b":1\r\n:2\r\n", after_s=TIMEOUT_S / 4)) as link:
        first, second = link.ask(("A",)), link.ask(("B",))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == [2]


async def test_a_silent_server_loses_the_connection_within_the_timeout() -> None:
    async with a_link(answering()) as link:
        questions = [link.ask(("A",)) for _ in range(3)]
        asked_s, began_s = time.monotonic(), own_s()
        for question in questions:
            with pytest.raises(CacheUnavailable, match=r"no answer within 0\.2 s"):
                await question
        assert time.monotonic() - asked_s >= TIMEOUT_S
        assert own_s() - began_s < 3 * TIMEOUT_S
        assert link.closed.is_set()
        with pytest.raises(CacheUnavailable):
            link.ask(("A",))


@pytest.mark.slow
async def test_a_server_that_goes_on_answering_keeps_the_connection() -> None:
    async with a_link(answering(*[b":1\r\n"] * 4, after_s=TIMEOUT_S / 2)) as link:
        for _ in range(4):
            assert await link.ask(("A",)) == [1]
        await asyncio.sleep(2 * TIMEOUT_S)
        assert not link.closed.is_set(), "nothing was asked meanwhile"


async def one_by_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that is slow for everybody: it answers all the time, and each late."""
    await reader.read(100_000)
    for _ in range(6):
        await asyncio.sleep(TIMEOUT_S / 2)
        writer.write(b":1\r\n")


@pytest.mark.slow
async def test_a_question_waits_no_longer_than_the_timeout_though_others_are_answered() -> None:
    async with a_link(one_by_one) as link:
        began_s = own_s()
        questions = [link.ask(("A",)) for _ in range(6)]
        await asyncio.wait(questions)
        assert own_s() - began_s < 2 * TIMEOUT_S
        assert await questions[0] == [1]
        assert "no answer within" in str(questions[-1].exception())


@pytest.mark.slow
async def test_a_patient_question_waits_as_long_as_others_are_answered() -> None:
    async with a_link(one_by_one) as link:
        questions = [link.ask(("A",), patient=True) for _ in range(6)]
        assert [await question for question in questions] == [[1]] * 6


@pytest.mark.slow
async def test_a_pause_of_this_process_is_not_the_servers() -> None:
    async with a_link(answering(b":1\r\n")) as link:
        question = link.ask(("A",))
        # The server, which runs in the same loop here, reads and answers.
        await asyncio.sleep(0.05)
        time.sleep(2 * TIMEOUT_S)  # noqa: ASYNC251 - the loop must stand still
        assert await question == [1]
        later = link.ask(("B",))
        time.sleep(2 * TIMEOUT_S)  # noqa: ASYNC251
        await asyncio.sleep(0)
        assert not later.done(), "nobody had the time to answer"
        later.cancel()


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n", b":1\r\n:2\r\n"])
async def test_a_server_that_does_not_speak_the_protocol_loses_the_connection(said: bytes) -> None:
    async with a_link(answering(said)) as link:
        asked = link.ask(("A",))
        async with asyncio.timeout(TIMEOUT_S):
            await link.closed.wait()
        assert asked.done()
        if asked.exception() is None:
            assert asked.result() == [1]


async def test_a_connection_that_the_server_ends_fails_what_is_unanswered() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100_000)
        writer.close()

    async with a_link(serve) as link:
        with pytest.raises(CacheUnavailable, match="lost"):
            await link.ask(("A",))


def telling(*, role: str = "master", mode: str = "standalone", version: str = "7.0.1") -> bytes:
    """Answers to the scripts and two questions about the server."""
    server = f"redis_version:{version}\r\nredis_mode:{mode}\r\nrun_id:abc\r\n"
    replication = f"role:{role}\r\nmaster_replid:def\r\n"
    infos = (f"${len(info)}\r\n{info}\r\n" for info in (server, replication))
    return (LOADED + "".join(infos)).encode()


async def greeted(answer: bytes) -> bytes:
    scripts, infos = answer[: len(LOADED)], answer[len(LOADED) :]
    async with served(answering(scripts, infos)) as port:
        settings = Settings(cache=f"redis://127.0.0.1:{port}", cache_timeout_s=30)
        link = await greet(settings, address_of(settings), within_s=30)
        try:
            return await identity(link)
        finally:
            link.close()


async def test_a_server_is_known_by_its_process_and_its_history() -> None:
    assert await greeted(telling()) == b"abc def"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (telling(role="slave"), "is a replica"),
        (telling(mode="cluster"), "part of a cluster"),
        (telling(version="6.0.16"), "too old"),
        (telling(version="unstable"), "which process"),
        (telling().replace(b"run_id:abc", b"run_id:\xff\xff\xff"), "which process"),
        (telling().replace(b"run_id", b"no__id"), "which process"),
        (telling().replace(b"$3\r\nsha\r\n", b"-NOPERM\r\n", 1), "NOPERM"),
    ],
)
async def test_a_server_that_cannot_be_used_is_refused_with_the_reason(
    answer: bytes, says: str
) -> None:
    with pytest.raises(CacheUnavailable, match=says):
        await greeted(answer)


async def test_a_server_that_does_not_answer_a_greeting_is_said_to_be_late() -> None:
    async with served(answering()) as port:
        settings = Settings(cache=f"redis://127.0.0.1:{port}", cache_timeout_s=TIMEOUT_S)
        with pytest.raises(CacheUnavailable, match="no answer"):
            await greet(settings, address_of(settings), within_s=TIMEOUT_S)


async def test_an_address_where_nobody_listens_is_named() -> None:
    async with served(answering()) as port:
        pass
    settings = Settings(cache=f"redis://127.0.0.1:{port}")
    with pytest.raises(CacheUnavailable, match=f"127.0.0.1:{port}"):
        await greet(settings, address_of(settings), within_s=30)


def answer_one_client(listener: socket.socket, scripts: bytes, infos: bytes) -> None:
    """In a thread: a server whose event loop is not the busy one."""
    peer, _ = listener.accept()
    with peer:
        peer.recv(100_000)
        peer.sendall(scripts)
        with contextlib.suppress(ConnectionError):
            while peer.recv(100_000):
                peer.sendall(infos)


@pytest.mark.slow
async def test_a_process_whose_loop_is_busy_connects_all_the_same() -> None:
    """Otherwise the load that made it busy would go to the tables."""
    told = telling()
    timeout_s = TIMEOUT_S / 4

    async def be_busy() -> None:
        for _ in range(16):
            time.sleep(timeout_s)  # noqa: ASYNC251 - the loop must stand still
            await asyncio.sleep(0)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Thread(
            target=answer_one_client, args=(listener, told[: len(LOADED)], told[len(LOADED) :])
        )
        server.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        settings = Settings(cache=url, cache_timeout_s=timeout_s)
        async with Connection(
            settings, OneServer(address_of(settings)), clock=SystemClock()
        ) as connection:
            busy = asyncio.create_task(be_busy())
            with pytest.raises(CacheUnavailable):
                await connection.opened()
            await busy
            assert connection.known is not None
        await asyncio.to_thread(server.join)


async def test_a_server_that_accepts_and_says_nothing_costs_one_caller_the_timeout() -> None:
    async with served(answering()) as port:
        settings = Settings(cache=f"redis://127.0.0.1:{port}", cache_timeout_s=TIMEOUT_S)
        async with Connection(
            settings, OneServer(address_of(settings)), clock=SystemClock()
        ) as connection:
            asked_s, began_s = time.monotonic(), own_s()
            for _ in range(5):
                with pytest.raises(CacheUnavailable):
                    await connection.opened()
            assert time.monotonic() - asked_s >= TIMEOUT_S
            assert own_s() - began_s < 2 * TIMEOUT_S


class Elsewhere:
    """A `Master` that may move, or be unknown."""

    settles_s = 0.4

    def __init__(self, address: Address) -> None:
        self.now: Address | None = address

    async def address(self) -> Address:
        if self.now is None:
            raise CacheUnavailable("nobody knows")
        return self.now

    def close(self) -> None:
        pass


def a_master(scripts: bytes, infos: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = scripts
        while await reader.read(100_000):
            writer.write(answer)
            answer = infos

    return serve


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[Connection, Elsewhere]]:
    told = telling()
    async with served(a_master(told[: len(LOADED)], told[len(LOADED) :])) as port:
        settings = Settings(cache=f"redis://127.0.0.1:{port}", cache_timeout_s=2)
        master = Elsewhere(address_of(settings))
        async with Connection(settings, master, clock=SystemClock()) as connection:
            yield connection, master


async def known(connection: Connection) -> bool:
    return connection.known is not None


@pytest.mark.slow
async def test_readers_use_a_server_that_may_have_taken_over_only_after_a_while() -> None:
    async with watched() as (connection, master):
        met_at_s = time.monotonic()
        link = (await connection.opened()).link
        connection.check_still_told(link)
        await eventually(lambda: known(connection), within_s=10, what="it is used", every_s=0.01)
        assert time.monotonic() - met_at_s >= master.settles_s


@pytest.mark.slow
@pytest.mark.parametrize("now", [None, Address("10.0.0.1", 6379)])
async def test_a_server_that_is_not_known_to_be_the_master_is_used_by_nobody(
    now: Address | None,
) -> None:
    async with watched() as (connection, master):
        link = (await connection.opened()).link
        await eventually(lambda: known(connection), within_s=10, what="it is used", every_s=0.01)
        master.now = now
        async with asyncio.timeout(10):
            await link.closed.wait()
        assert connection.known is None
        with pytest.raises(CacheUnavailable, match="another server may be the master"):
            connection.check_still_told(link)
