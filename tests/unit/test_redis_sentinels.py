"""A master that sentinels name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from fanfold.adapters.redis.address import Address, CacheUrl
from fanfold.adapters.redis.sentinels import Sentinels
from fanfold.core.errors import CacheUnavailable
from fanfold.core.settings import Settings
from tests.support.probes import free_port
from tests.support.redis_servers import always, served

SETTLES_S = 5.0
FIRST, SECOND = "10.0.0.1", "10.0.0.2"


def named(ip: str, epoch: int) -> bytes:
    fields = ["name", "cache", "ip", ip, "port", "6379", "config-epoch", str(epoch)]
    return "".join([f"*{len(fields)}\r\n", *(f"${len(f)}\r\n{f}\r\n" for f in fields)]).encode()


@asynccontextmanager
async def sentinels(answers: Sequence[bytes | None]) -> AsyncIterator[Sentinels]:
    """One sentinel for each answer; None is one where nobody listens."""
    async with AsyncExitStack() as stack:
        ports = [free_port()] * len(answers)
        for number, answer in enumerate(answers):
            if answer is not None:
                serve = always(partial(bytes, answer))
                ports[number] = await stack.enter_async_context(served(serve))
        where = ",".join(f"127.0.0.1:{port}" for port in ports)
        settings = Settings(cache=f"redis+sentinel://{where}/cache/3", cache_timeout_s=2)
        master = Sentinels(settings, CacheUrl.of(settings), settles_s=SETTLES_S)
        stack.callback(master.close)
        yield master


async def test_the_newest_configuration_counts() -> None:
    answers = [named(FIRST, 4), named(SECOND, 5), named(FIRST, 4)]
    async with sentinels(answers) as master:
        assert await master.address() == Address(SECOND, 6379, 3)


async def test_a_minority_of_sentinels_is_not_believed() -> None:
    async with sentinels([named(FIRST, 1), None, None]) as master:
        with pytest.raises(CacheUnavailable, match="most of the sentinels"):
            await master.address()
    async with sentinels([named(FIRST, 1), None, named(FIRST, 1)]) as master:
        assert (await master.address()).host == FIRST


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"-ERR No such master with that name\r\n", "No such master"),
        (b"*2\r\n$2\r\nip\r\n$1\r\na\r\n", "does not say where"),
        (b":1\r\n", "does not say where"),
    ],
)
async def test_a_sentinel_that_knows_no_master_is_quoted(answer: bytes, says: str) -> None:
    async with sentinels([answer]) as master:
        with pytest.raises(CacheUnavailable, match=says):
            await master.address()
