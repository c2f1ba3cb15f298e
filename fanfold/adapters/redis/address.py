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


@dataclass(frozen=True, slots=True)
class Address:
    """One server. `database` is a number that the server has from 0 on."""

    host: str
    port: int
    database: int
    over_tls: bool

    @classmethod
    def of(cls, settings: Settings) -> Self:
        url = urlsplit(settings.cache)
        return cls(
            host=url.hostname or "",
            port=url.port or _PORT,
            database=int(url.path.lstrip("/") or 0),
            over_tls=url.scheme in ("rediss", "valkeys"),
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def client_tls(settings: Settings) -> ssl.SSLContext | None:
    """A context for a connection over TLS, with the certificates as they are now; None without TLS. Raises `Fault`."""
    if not Address.of(settings).over_tls:
        return None
    if settings.cache_ca is None:
        return _system_tls()
    return client_context(settings.cache_ca, cert=None, key=None, check_hostname=True)


@cache
def _system_tls() -> ssl.SSLContext:
    """Made once: reading all certificates of the system takes some 80 ms, in which the process does nothing else."""
    return ssl.create_default_context()
