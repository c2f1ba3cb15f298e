"""Is an engine ready? Asked in its own protocol, so that an open port is not mistaken for an answer."""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import time
from collections.abc import Callable

FIXED_PORTS = range(15_000, 32_000)
# ApiVersions v0 (key 18), correlation id 1, no client id, after its length.
KAFKA_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
# Protocol 5, stream 0, OPTIONS, no body; the answer is SUPPORTED (opcode 6).
CQL_OPTIONS = bytes([5, 0, 0, 0, 5, 0, 0, 0, 0])
CQL_SUPPORTED = 6


def free_port() -> int:
    """A port that nobody listens on, below the range that Linux hands to outgoing connections.

    An engine that is killed and started again must find its port free: no client may have got it meanwhile.
    """
    while True:
        port = secrets.choice(FIXED_PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def kafka_answers(host: str, port: int) -> bool:
    """True if the broker answers which versions it speaks: it does so once it is registered and unfenced."""
    answer = _ask(host, port, KAFKA_API_VERSIONS, 10)
    return len(answer) == 10 and answer[4:8] == b"\0\0\0\1" and answer[8:10] == b"\0\0"


def cassandra_answers(host: str, port: int) -> bool:
    answer = _ask(host, port, CQL_OPTIONS, 9)
    return len(answer) == 9 and answer[4] == CQL_SUPPORTED


def redis_answers(host: str, port: int) -> bool:
    """False also while the server loads a snapshot."""
    return _ask(host, port, b"PING\r\n", 7) == b"+PONG\r\n"


def wait_until(ready: Callable[[], bool], *, within_s: float, gone: Callable[[], bool]) -> bool:
    """Poll until `ready`; False as soon as the engine is `gone`, or when the time is over."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if ready():
            return True
        if gone():
            return False
        time.sleep(0.1)
    return False


def _ask(host: str, port: int, question: bytes, wanted: int) -> bytes:
    """The first bytes of the answer, as many as are wanted; fewer if they don't come within two seconds."""
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=2) as peer:
        peer.sendall(question)
        while len(answer) < wanted and (part := peer.recv(wanted - len(answer))):
            answer += part
    return answer
