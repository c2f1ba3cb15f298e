"""What a feed's cursors remember. Pure; a wrong one answers 422.

A chronological cursor holds the last post shown and how many were, because the feed ends after so many. A
relevance cursor holds the ranked posts that remain, because a ranking taken a minute later would be another one.
Both hold the newest post of the first page, from which "what has come since" is counted.
Anyone can compute a cursor's checksum, so what it covers may still be nonsense, and is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal, NamedTuple
from uuid import UUID

from fanfold.core.delivery import Delivery
from fanfold.http.cursors import decode_cursor, encode_cursor, refused_cursor
from fanfold.http.problems import Invalid

Ranking = Literal["relevance", "chronological"]

_PLACE = struct.Struct(">16s16sI")
_ID_BYTES = 16


class Place(NamedTuple):
    """Where a chronological page ended: its last post, the posts served up to there, and the first page's newest."""

    last: UUID
    served: int
    newest: UUID


class Ranked(NamedTuple):
    """A post of a frozen ranking."""

    post_id: UUID
    source: Delivery


class Frozen(NamedTuple):
    """What remains of a ranking, and the newest post that was ranked."""

    remaining: Sequence[Ranked]
    newest: UUID


def feed_scope(ranking: Ranking, viewer: str) -> str:
    """What a feed's cursors are bound to."""
    return f"feed/{ranking}/{viewer}"


def place_cursor(place: Place, *, scope: str) -> str:
    """The cursor after that place."""
    packed = _PLACE.pack(place.last.bytes, place.newest.bytes, place.served)
    return encode_cursor(packed, scope=scope)


def place_of(cursor: str, *, scope: str) -> Place:
    """The place a cursor was made from."""
    payload = decode_cursor(cursor, scope=scope)
    if len(payload) != _PLACE.size:
        raise refused_cursor()
    last, newest, served = _PLACE.unpack(payload)
    return Place(_post_id(last), served, _post_id(newest))


def ranked_cursor(frozen: Frozen, *, scope: str) -> str:
    """The cursor to the rest of a ranking: the newest, then a bit a post for its source, then the ids."""
    remaining = frozen.remaining
    pulled = sum(1 << n for n, ranked in enumerate(remaining) if ranked.source == "pull")
    bits = pulled.to_bytes((len(remaining) + 7) // 8, "big")
    # Half the time of `UUID.bytes`, for a cursor of ninety posts that few readers use.
    ids = b"".join([ranked.post_id.int.to_bytes(_ID_BYTES) for ranked in remaining])
    return encode_cursor(frozen.newest.bytes + bytes([len(remaining)]) + bits + ids, scope=scope)


def ranked_of(cursor: str, *, scope: str) -> Frozen:
    """The rest of the ranking a cursor was made from."""
    payload = decode_cursor(cursor, scope=scope)
    newest, payload = payload[:_ID_BYTES], payload[_ID_BYTES:]
    count = payload[0] if payload else 0
    ids_start = 1 + (count + 7) // 8
    if not count or len(payload) != ids_start + count * _ID_BYTES:
        raise refused_cursor()
    pulled = int.from_bytes(payload[1:ids_start], "big")
    ids = [payload[at : at + _ID_BYTES] for at in range(ids_start, len(payload), _ID_BYTES)]
    if len(set(ids)) != count:
        raise refused_cursor()
    remaining = [
        Ranked(_post_id(raw), "pull" if pulled >> n & 1 else "push") for n, raw in enumerate(ids)
    ]
    return Frozen(remaining, _post_id(newest))


def newest_of(cursor: str, *, viewer: str) -> UUID:
    """The newest post of the first page, of whichever ranking the cursor is."""
    try:
        return place_of(cursor, scope=feed_scope("chronological", viewer)).newest
    except Invalid:
        return ranked_of(cursor, scope=feed_scope("relevance", viewer)).newest


def _post_id(raw: bytes) -> UUID:
    post_id = UUID(bytes=raw)
    if post_id.version != 7:
        raise refused_cursor()
    return post_id
