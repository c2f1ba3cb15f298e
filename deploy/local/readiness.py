"""Asks a process whether it is ready, in its own protocol: an open port is not an answer."""

from __future__ import annotations

import contextlib
import socket
import struct
from urllib.parse import urlsplit

from fanfold.http.ask import READY, readiness

ANSWER_S = 3.0
# ApiVersions v0 (key 18), correlation id 1, no client id, after its length.
_KAFKA_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
# Protocol 5, stream 0, OPTIONS, no body; the answer is SUPPORTED (opcode 6).
_CQL_OPTIONS = bytes([5, 0, 0, 0, 5, 0, 0, 0, 0])
_CQL_SUPPORTED = 6
_PONG = b"+PONG\r\n"


def readiness_of(url: str) -> str:
    """`READY`, or what is wrong in one line. Blocks for at most a few seconds.

    `http://…` must answer 200, `kafka://…`, `cql://…` and `redis://…` must speak their protocol; an empty URL is always ready.
    """
    if not url:
        return READY
    match urlsplit(url):
        case address if address.scheme == "kafka":
            return _answered(_kafka_answers(address.hostname or "", address.port or 0))
        case address if address.scheme == "cql":
            return _answered(_cassandra_answers(address.hostname or "", address.port or 0))
        case address if address.scheme == "redis":
            return _answered(_cache_answers(address.hostname or "", address.port or 0))
    return readiness(url, within_s=ANSWER_S)


def _answered(answers: bool) -> str:
    return READY if answers else "no answer"


def _kafka_answers(host: str, port: int) -> bool:
    """Whether the broker answers with the versions it speaks: it does once it is registered and unfenced."""
    answer = _ask(host, port, _KAFKA_API_VERSIONS, 10)
    return len(answer) == 10 and answer[4:8] == b"\0\0\0\1" and answer[8:10] == b"\0\0"


def _cassandra_answers(host: str, port: int) -> bool:
    answer = _ask(host, port, _CQL_OPTIONS, 9)
    return len(answer) == 9 and answer[4] == _CQL_SUPPORTED


def _cache_answers(host: str, port: int) -> bool:
    return _ask(host, port, b"PING\r\n", len(_PONG)) == _PONG


def _ask(host: str, port: int, question: bytes, wanted: int) -> bytes:
    answer = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, port), timeout=ANSWER_S) as peer,
    ):
        peer.sendall(question)
        while len(answer) < wanted and (part := peer.recv(wanted - len(answer))):
            answer += part
    return answer
