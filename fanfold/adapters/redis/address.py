"""Where the cache listens, and how it is spoken to, from the settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache
from typing import Self
from urllib.parse import urlsplit

from fanfold.adapters.tls import client_context
from fanfold.core.settings import Settings

_PORT = 6379
_SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class Address:
    """One server. `database` is a number that the server has from 0 on."""

    host: str
    port: int
    database: int = 0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class CacheUrl:
    """`FANFOLD_CACHE`, taken apart.

    `kind`: "" is one server at the only address; for "sentinel" and "cluster", the addresses say which servers to use.
    `master` is the name by which sentinels know the server, and `database` its database.
    """

    kind: str
    addresses: tuple[Address, ...]
    master: str
    database: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        url = urlsplit(settings.cache)
        _, _, kind = url.scheme.partition("+")
        path = url.path.strip("/").split("/")
        master = path.pop(0) if kind == "sentinel" else ""
        database = int("".join(path) or 0)
        port = _SENTINEL_PORT if kind == "sentinel" else _PORT
        parts = [urlsplit(f"//{part}") for part in url.netloc.split(",")]
        addresses = tuple(
            Address(part.hostname or "", part.port or port, 0 if kind else database)
            for part in parts
        )
        return cls(kind, addresses, master, database)


def over_tls(settings: Settings) -> bool:
    """Whether the cache is spoken to over TLS, and its sentinels too."""
    return urlsplit(settings.cache).scheme.startswith(("rediss", "valkeys"))


def client_tls(settings: Settings) -> ssl.SSLContext | None:
    """A context for a connection over TLS, with the certificates as they are now; None without TLS. Raises `Fault`."""
    if not over_tls(settings):
        return None
    if settings.cache_ca is None:
        return _system_tls()
    return client_context(settings.cache_ca, cert=None, key=None, check_hostname=True)


@cache
def _system_tls() -> ssl.SSLContext:
    """Made once: reading all certificates of the system takes some 80 ms and blocks the process."""
    return ssl.create_default_context()
