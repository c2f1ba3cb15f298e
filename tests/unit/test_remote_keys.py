"""The issuer's keys: fetched in the background, kept through an outage, and never fetched because a request asks."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from fanfold.core.errors import Fault
from fanfold.core.settings import Settings
from fanfold.http.identity.https_get import FetchFailed, https_get
from fanfold.http.identity.open_identity import open_identity, remote_keys
from fanfold.http.identity.remote_keys import MOST_WAITING, KeysUnknown, RemoteKeys
from tests.support.certificates import Authority, Identity
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.tokens import key_set, public_jwk

OLD, NEW = key_set(public_jwk("ES256")), key_set(public_jwk("ES256"), public_jwk("EdDSA"))


class AnIssuer:
    """What the issuer publishes; None while it is away."""

    def __init__(self) -> None:
        self.published: bytes | None = OLD
        self.asked = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def fetch(self) -> bytes:
        self.asked += 1
        await self.answering.wait()
        if self.published is None:
            raise FetchFailed("away")
        return self.published


@asynccontextmanager
async def fetching(issuer: AnIssuer, clock: ManualClock) -> AsyncIterator[RemoteKeys]:
    keys = RemoteKeys(issuer.fetch, clock=clock, refresh_s=300, max_age_s=86_400)
    task = asyncio.create_task(keys.keep_fetching())
    try:
        await until_asleep(clock)
        yield keys
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_asleep(clock: ManualClock) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    assert clock.sleeping == 1


async def test_keys_are_fetched_again_and_rotated() -> None:
    issuer, clock = AnIssuer(), ManualClock()
    async with fetching(issuer, clock) as keys:
        generation = keys.generation
        clock.advance(300)
        await until_asleep(clock)
        assert (issuer.asked, keys.generation) == (2, generation)
        issuer.published = key_set(public_jwk("EdDSA"))
        clock.advance(300)
        await until_asleep(clock)
        assert keys.generation == generation + 1
        assert await keys.find("EdDSA")
        assert await keys.find("ES256") is None


async def test_the_age_of_the_keys_is_measured_and_each_fetch_counted() -> None:
    issuer, clock = AnIssuer(), ManualClock()
    before = {result: fetches(result) for result in ("ok", "failed")}
    async with fetching(issuer, clock):
        clock.advance(100)
        assert age_s() == 100
        issuer.published = None
        clock.advance(200)
        await until_asleep(clock)
        # A fetch that failed makes no key younger.
        assert age_s() == 300
    assert {result: fetches(result) - before[result] for result in before} == {
        "ok": 1,
        "failed": 1,
    }


def age_s() -> float | None:
    return REGISTRY.get_sample_value("fanfold_issuer_keys_age_seconds")


def fetches(result: str) -> float:
    name = "fanfold_issuer_key_fetches_total"
    return REGISTRY.get_sample_value(name, {"result": result}) or 0


async def test_a_new_key_is_fetched_when_it_is_first_used() -> None:
    issuer, clock = AnIssuer(), ManualClock()
    async with fetching(issuer, clock) as keys:
        clock.advance(31)
        issuer.published = NEW
        assert await keys.find("EdDSA")
        assert issuer.asked == 2


async def test_a_flood_of_unknown_keys_fetches_once_in_half_a_minute() -> None:
    issuer, clock = AnIssuer(), ManualClock()
    async with fetching(issuer, clock) as keys:
        for n in range(1000):
            assert await keys.find(f"unknown-{n}") is None
        assert issuer.asked == 1
        clock.advance(31)
        for n in range(1000):
            assert await keys.find(f"unknown-{n}") is None
        assert issuer.asked == 2


async def test_few_requests_wait_for_a_fetch_and_known_keys_never_do() -> None:
    issuer, clock = AnIssuer(), ManualClock()
    async with fetching(issuer, clock) as keys:
        clock.advance(31)
        issuer.answering.clear()
        waiting = [asyncio.create_task(keys.find(f"unknown-{n}")) for n in range(100)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert sum(not task.done() for task in waiting) == MOST_WAITING
        async with asyncio.timeout(1):
            assert await keys.find("ES256")
        issuer.answering.set()
        assert set(await asyncio.gather(*waiting)) == {None}
        assert issuer.asked == 2


async def test_a_client_that_hangs_up_does_not_end_the_fetch() -> None:
    issuer, clock = AnIssuer(), ManualClock()
    async with fetching(issuer, clock) as keys:
        clock.advance(31)
        issuer.published = NEW
        issuer.answering.clear()
        asking = asyncio.create_task(keys.find("EdDSA"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        issuer.answering.set()
        assert await keys.find("EdDSA")


async def test_keys_outlive_an_outage_but_not_for_ever() -> None:
    issuer, clock = AnIssuer(), ManualClock()
    async with fetching(issuer, clock) as keys:
        issuer.published = None
        for _ in range(12):
            clock.advance(7_000)
            await until_asleep(clock)
        keys.refuse_outdated()
        assert await keys.find("ES256")
        clock.advance(7_000)
        with pytest.raises(KeysUnknown):
            keys.refuse_outdated()
        issuer.published = OLD
        clock.advance(300)
        await until_asleep(clock)
        keys.refuse_outdated()


async def test_an_issuer_that_is_away_at_the_start_is_asked_again_soon() -> None:
    issuer, clock = AnIssuer(), ManualClock()
    issuer.published = None
    async with fetching(issuer, clock) as keys:
        with pytest.raises(KeysUnknown):
            keys.refuse_outdated()
        issuer.published = OLD
        clock.advance(1)
        await until_asleep(clock)
        keys.refuse_outdated()
        assert issuer.asked == 2


async def test_a_document_that_is_no_key_set_changes_nothing() -> None:
    issuer, clock = AnIssuer(), ManualClock()
    async with fetching(issuer, clock) as keys:
        for published in (b"", b'{"keys": []}', b"[" * 100_000):
            issuer.published = published
            clock.advance(300)
            await until_asleep(clock)
            assert await keys.find("ES256")


# Over a real socket


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("issuer") / "ca", name="the issuer's CA")


@pytest.fixture(scope="module")
def server_identity(authority: Authority) -> Identity:
    return authority.identity("issuer")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Connections that were aborted are closed by now."""
    yield
    gc.collect()


@asynccontextmanager
async def serving(identity: Identity, answer: bytes, *, pause_s: float = 0) -> AsyncIterator[str]:
    """A URL at which every request gets this answer, byte by byte if there is a pause."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(identity.cert, identity.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for start in range(0, len(answer), 1 if pause_s else 65_536):
                writer.write(answer[start : start + (1 if pause_s else 65_536)])
                await writer.drain()
                await asyncio.sleep(pause_s)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"


def response(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def fetched(url: str, ca: Path, *, within_s: float = 2, most_bytes: int = 65_536) -> bytes:
    tls = ssl.create_default_context(cafile=str(ca))
    return await https_get(url, tls=tls, within_s=within_s, most_bytes=most_bytes)


@pytest.mark.parametrize(
    "answer",
    [
        response(OLD),
        b"HTTP/1.1 200 OK\r\n\r\n" + OLD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
        % (len(OLD), OLD),
    ],
    ids=["length", "close", "chunked"],
)
async def test_a_document_is_fetched(
    authority: Authority, server_identity: Identity, answer: bytes
) -> None:
    async with serving(server_identity, answer) as url:
        assert await fetched(url, authority.ca) == OLD


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (response(b"", status="302 Found", headers="Location: /other\r\n"), "302"),
        (response(OLD, status="301 Moved", headers="Location: http://x/\r\n"), "301"),
        (response(OLD, status="500 Oops"), "500"),
        (response(b"x" * 65_537), "65536 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort", "too early"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 200_000, "65536 bytes"),
        (b"nonsense\r\n\r\n", "not HTTP"),
        (b"", "answers 0"),
    ],
    ids=lambda value: str(value[:20]),
)
async def test_anything_but_a_small_whole_document_is_a_failure(
    authority: Authority, server_identity: Identity, answer: bytes, said: str
) -> None:
    async with serving(server_identity, answer) as url:
        with pytest.raises(FetchFailed, match=said):
            await fetched(url, authority.ca)


async def test_an_issuer_that_answers_slowly_is_given_up(
    authority: Authority, server_identity: Identity
) -> None:
    async with serving(server_identity, response(OLD), pause_s=0.05) as url:
        with pytest.raises(FetchFailed, match=r"within 0\.3 s"):
            await fetched(url, authority.ca, within_s=0.3)


async def test_only_a_host_with_a_known_certificate_is_asked(
    tmp_path: Path, server_identity: Identity
) -> None:
    other = Authority(tmp_path / "other", name="another CA")
    async with serving(server_identity, response(OLD)) as url:
        with pytest.raises(FetchFailed, match="no connection"):
            await fetched(url, other.ca)


async def test_nothing_is_fetched_without_tls(authority: Authority) -> None:
    with pytest.raises(FetchFailed, match="not https"):
        await fetched("http://127.0.0.1:1/keys", authority.ca)


async def test_the_settings_make_an_identity_that_becomes_ready(
    authority: Authority, server_identity: Identity
) -> None:
    async with serving(server_identity, response(OLD)) as url:
        settings = Settings().model_copy(
            update={
                "auth": "jwt",
                "jwt_issuer": "https://issuer.example/",
                "jwt_jwks_url": url,
                "jwt_jwks_ca": authority.ca,
            }
        )
        async with open_identity(settings, clock=ManualClock()) as identity:

            async def ready() -> bool:
                try:
                    await identity.ready()
                except KeysUnknown:
                    return False
                return True

            assert not await ready()
            await eventually(ready, within_s=30, what="the keys are known")


def test_a_ca_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    settings = Settings().model_copy(update={"jwt_jwks_ca": tmp_path / "ca.pem"})
    with pytest.raises(Fault, match="FANFOLD_JWT_JWKS_CA"):
        remote_keys(settings, clock=ManualClock())
