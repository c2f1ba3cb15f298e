"""The forms of settings that are addresses: a wrong one is refused when it is read, and not when it is first used."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

# A port of five digits may still be too high; the client says so.
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_SERVER = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_DATABASE = r"(?:/[0-9]{1,4})?"
_CACHE = re.compile(
    "none|memory|(?:rediss?|valkeys?)(?:"
    rf"://{_SERVER}{_DATABASE}"
    rf"|\+sentinel://{_SERVER}(?:,{_SERVER})*/[A-Za-z0-9._-]+{_DATABASE}"
    rf"|\+cluster://{_SERVER}(?:,{_SERVER})*)"
)
_SERVED = re.compile(r"\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


def names_in(given: str) -> frozenset[str]:
    """The names of a list that may be empty."""
    return frozenset(name.strip() for name in given.split(",") if name.strip())


def _host_ports(given: str) -> str:
    if not all(_ADDRESS.fullmatch(address.strip()) for address in given.split(",")):
        raise ValueError("use host:port,host:port")
    return given


def _hosts(given: str) -> str:
    if not all(_HOST.fullmatch(host.strip()) for host in given.split(",")):
        raise ValueError("use host,host, without ports")
    return given


def _served_names(given: str) -> str:
    # A name that no `Host` can have matches nothing: each request for the host that is meant would be refused, with no hint why.
    if not all(_SERVED.fullmatch(name) for name in names_in(given)):
        raise ValueError("use name,name, without ports and schemes, or *")
    return given


def _cache_address(given: str) -> str:
    if _CACHE.fullmatch(given) is None:
        raise ValueError(
            "use none, memory, redis://host:port, redis+sentinel://host:port,host:port/master or redis+cluster://host:port,host:port, without user and password"
        )
    # Raises `ValueError` for an address or a port that the form allows and that can't be.
    for address in urlsplit(given).netloc.split(","):
        _ = urlsplit(f"//{address}").port
    return given


HostPorts = Annotated[str, AfterValidator(_host_ports)]
Hosts = Annotated[str, AfterValidator(_hosts)]
ServedNames = Annotated[str, AfterValidator(_served_names)]
CacheAddress = Annotated[str, AfterValidator(_cache_address)]
