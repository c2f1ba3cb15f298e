"""The first commands of a new connection, and the identity of the server that answers them."""

from __future__ import annotations

import asyncio

from fanfold.adapters.redis.address import Address, client_tls
from fanfold.adapters.redis.link import Command, Link, checked
from fanfold.adapters.redis.scripts import ALL
from fanfold.core.errors import CacheUnavailable, Fault
from fanfold.core.settings import Settings

ASK_IDENTITY: tuple[Command, ...] = (("INFO", "server"), ("INFO", "replication"))
_USABLE_FROM = (6, 2)


async def greet(settings: Settings, address: Address, *, within_s: float) -> Link:
    """Connect, authenticate, load the scripts. Raises `CacheUnavailable`."""
    select: list[Command] = [("SELECT", address.database)] if address.database else []
    load: list[Command] = [("SCRIPT", "LOAD", script.text) for script in ALL]
    commands = [*_authenticate(settings), *select, *load]
    return await _connected(settings, address, commands, within_s=within_s)


async def greet_sentinel(settings: Settings, address: Address, *, within_s: float) -> Link:
    """Connect to a sentinel, with the credentials of the servers. Raises `CacheUnavailable`."""
    link = await _connected(settings, address, [], within_s=within_s)
    for command in _authenticate(settings):
        # A sentinel without a password refuses this command; a sentinel with another password refuses the next one.
        link.say(command)
    return link


async def _connected(
    settings: Settings, address: Address, commands: list[Command], *, within_s: float
) -> Link:
    loop = asyncio.get_running_loop()
    link: Link | None = None
    try:
        async with asyncio.timeout(within_s):
            _, link = await loop.create_connection(
                lambda: Link(timeout_s=settings.cache_timeout_s),
                address.host,
                address.port,
                ssl=client_tls(settings),
            )
            if commands:
                checked(await link.ask(*commands))
            return link
    except (OSError, TimeoutError, CacheUnavailable, Fault) as error:
        if link is not None:
            link.close()
        raise CacheUnavailable(f"{address}: {str(error) or 'no answer in time'}") from error


def _authenticate(settings: Settings) -> list[Command]:
    if settings.cache_password is None:
        return []
    password = settings.cache_password.get_secret_value()
    user = () if settings.cache_user is None else (settings.cache_user,)
    return [("AUTH", *user, password)]


async def identity(link: Link, *, of_cluster: bool = False) -> bytes:
    """An identity that changes whenever the server may hold other values than it was told.

    A process that starts, even from a snapshot, has a new run id. A replica that becomes the master has a new replication id, even if it
    was the master before. Raises `CacheUnavailable` for a server that takes no writes.
    """
    answers = checked(await link.ask(*ASK_IDENTITY, patient=True))
    try:
        told = _fields(b"\n".join(answers))
        version = tuple(map(int, told["redis_version"].split(".")[:2]))
        identity = f"{told['run_id']} {told['master_replid']}".encode()
    except (KeyError, TypeError, ValueError) as error:
        raise CacheUnavailable("this server does not tell which process it is") from error
    if told.get("role") != "master":
        raise CacheUnavailable("this server is a replica: its master is elsewhere")
    if (told.get("redis_mode") == "cluster") != of_cluster:
        raise CacheUnavailable(
            "this server is not part of a cluster: use redis://"
            if of_cluster
            else "this server is part of a cluster: use redis+cluster://"
        )
    if version < _USABLE_FROM:
        raise CacheUnavailable(f"this server is too old: {told['redis_version']}")
    return identity


def _fields(info: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in info.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}
