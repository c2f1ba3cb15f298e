"""The sockets that a server listens on. A wrong address raises a `Fault` with a message of one line."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

from fanfold.core.errors import Fault

_BACKLOG = 2048
_FIRST_FREE_FOR_ALL = 1024


def listen(host: str, port: int, *, choose_port: str = "FANFOLD_PORT=…") -> Sequence[socket.socket]:
    """A listening socket for each address of `host`.

    Raises `Fault`, which says what to change; `choose_port` is how another port is chosen.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            sockets.append(socket.socket(family, socket.SOCK_STREAM))
            # As servers do: connections that were closed just now don't count.
            sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # Where `host` has both kinds of addresses, each has a socket of its own.
                sockets[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sockets[-1].bind(address)
            sockets[-1].listen(_BACKLOG)
    except OSError as error:
        close(sockets)
        raise Fault(_what_to_change(error, host, port, choose_port)) from error
    return sockets


def close(sockets: Sequence[socket.socket]) -> None:
    for listener in sockets:
        listener.close()


def check_address(host: str, port: int, *, choose_port: str = "FANFOLD_PORT=…") -> None:
    """Raise `Fault` now if `listen` would: before anything that takes long."""
    close(listen(host, port, choose_port=choose_port))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server at `host`. Raises `Fault` for an unknown name."""
    return all(ipaddress.ip_address(address[0]).is_loopback for _, address in _addresses(host, 0))


def base_url(host: str, port: int) -> str:
    """The URL of a server at this address; an IPv6 address stands in brackets."""
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if literal.version == 6:
        return f"http://[{host}]:{port}"
    return f"http://{host}:{port}"


def _addresses(host: str, port: int) -> Sequence[tuple[int, Any]]:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise Fault(
            f"FANFOLD_HOST={host!r} is no known name: use an address of this machine, as 127.0.0.1, ::1 or 0.0.0.0"
        ) from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _what_to_change(error: OSError, host: str, port: int, choose_port: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} is taken; choose another: {choose_port}"
        case errno.EACCES if port < _FIRST_FREE_FOR_ALL:
            return f"port {port} needs more rights; choose one from {_FIRST_FREE_FOR_ALL} on: {choose_port}"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return f"FANFOLD_HOST={host} is no address of this machine: use one, as 127.0.0.1, ::1 or 0.0.0.0"
    return f"can't listen on {host} port {port}: {error.strerror}; change FANFOLD_HOST or {choose_port}"
