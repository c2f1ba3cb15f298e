"""What goes over the wire for one answer, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fanfold.http.one_piece import OnePiece

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Recorded:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def close(self) -> None:
        self.pieces.append(b"closed")

    def is_closing(self) -> bool:
        return b"closed" in self.pieces


def _written(*pieces: bytes) -> tuple[OnePiece, list[bytes]]:
    recorded: Any = _Recorded()
    answer = OnePiece(recorded)
    for piece in pieces:
        answer.write(piece)
    return answer, recorded.pieces


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ([HEAD, b"body"], [HEAD + b"body"]),
        ([HEAD, b"bo", b"dy"], [HEAD + b"bo", b"dy"]),
        ([HEAD, b""], [HEAD]),
        ([CHUNKED, b"4\r\nbody\r\n"], [CHUNKED, b"4\r\nbody\r\n"]),
        ([CONTINUE, HEAD, b"body"], [CONTINUE, HEAD + b"body"]),
    ],
    ids=["whole", "in two parts", "empty", "a stream", "after a 100"],
)
def test_a_head_of_known_length_goes_with_the_body(
    written: Sequence[bytes], sent: Sequence[bytes]
) -> None:
    assert _written(*written)[1] == sent


def test_a_head_that_no_body_follows_is_sent_when_the_answer_ends() -> None:
    answer, pieces = _written(HEAD)
    assert pieces == []
    answer.flush()
    answer.flush()
    assert pieces == [HEAD]


def test_a_head_is_not_lost_when_the_connection_is_closed() -> None:
    answer, pieces = _written(HEAD)
    assert not answer.is_closing()
    answer.close()
    assert pieces == [HEAD, b"closed"]
    assert answer.is_closing()
