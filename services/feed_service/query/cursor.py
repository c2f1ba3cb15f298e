"""What the cursors of feeds remember. Pure; a wrong one answers 422.

A cursor by time holds the last post shown and how many were, because the feed ends after so many. A cursor by relevance
holds the ranked posts that remain, because a ranking made a minute later would be another one. Both hold the newest
post of the first page, so that newer posts can be counted.
Anyone can compute a cursor's checksum, so the content may still be nonsense, and is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple, Self
from uuid import UUID

from fanfold.core.delivery import Delivery
from fanfold.core.ids import first_post_id_at
from fanfold.http.cursors import decode_cursor, encode_cursor, refused_cursor
from fanfold.http.problems import Invalid

Ranking = Literal["relevance", "chronological"]

_BY_TIME = struct.Struct(">16s16sI")
_ID_BYTES = 16
_UUID7 = first_post_id_at(0).int
_VERSION_AND_VARIANT = 0xF << 76 | 0b11 << 62


def feed_scope(ranking: Ranking, viewer: str) -> str:
    """What a feed's cursors are bound to."""
    return f"feed/{ranking}/{viewer}"


class TimeCursor(NamedTuple):
    """The end of a page by time: its last post, the posts served up to there, and the first page's newest."""

    last: UUID
    served: int
    newest: UUID

    def encode(self, *, scope: str) -> str:
        packed = _BY_TIME.pack(self.last.bytes, self.newest.bytes, self.served)
        return encode_cursor(packed, scope=scope)

    @classmethod
    def decode(cls, text: str, *, scope: str) -> Self:
        payload = decode_cursor(text, scope=scope)
        if len(payload) != _BY_TIME.size:
            raise refused_cursor()
        last, newest, served = _BY_TIME.unpack(payload)
        return cls(UUID(int=_post_number(last)), served, UUID(int=_post_number(newest)))


class RankingCursor(NamedTuple):
    """The rest of a ranking, and the newest post that was ranked.

    `remaining`: the integer in each post's id → its source, in the order of the ranking.
    """

    remaining: Mapping[int, Delivery]
    newest: UUID

    def encode(self, *, scope: str) -> str:
        """The newest post, then the number of posts, one bit a post for its source, and their ids."""
        remaining = self.remaining
        pulled = sum(1 << n for n, source in enumerate(remaining.values()) if source == "pull")
        bits = pulled.to_bytes((len(remaining) + 7) // 8, "big")
        ids = b"".join([number.to_bytes(_ID_BYTES) for number in remaining])
        return encode_cursor(self.newest.bytes + bytes([len(remaining)]) + bits + ids, scope=scope)

    @classmethod
    def decode(cls, text: str, *, scope: str) -> Self:
        payload = decode_cursor(text, scope=scope)
        newest, payload = payload[:_ID_BYTES], payload[_ID_BYTES:]
        count = payload[0] if payload else 0
        ids_start = 1 + (count + 7) // 8
        if not count or len(payload) != ids_start + count * _ID_BYTES:
            raise refused_cursor()
        pulled = int.from_bytes(payload[1:ids_start], "big")
        starts = range(ids_start, len(payload), _ID_BYTES)
        remaining: dict[int, Delivery] = {
            _post_number(payload[start : start + _ID_BYTES]): "pull" if pulled >> n & 1 else "push"
            for n, start in enumerate(starts)
        }
        if len(remaining) != count:
            raise refused_cursor()
        return cls(remaining, UUID(int=_post_number(newest)))


def newest_of(cursor: str, *, viewer: str) -> UUID:
    """The newest post of the first page, from a cursor of either ranking."""
    try:
        return TimeCursor.decode(cursor, scope=feed_scope("chronological", viewer)).newest
    except Invalid:
        return RankingCursor.decode(cursor, scope=feed_scope("relevance", viewer)).newest


def _post_number(raw: bytes) -> int:
    """The integer in a post's id. Answers 422 unless the id is a UUIDv7."""
    number = int.from_bytes(raw)
    if number & _VERSION_AND_VARIANT != _UUID7:
        raise refused_cursor()
    return number
