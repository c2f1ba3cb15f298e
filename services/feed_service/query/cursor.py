"""What the cursors of feeds remember. Pure; a wrong one answers 422.

A cursor by time holds the last post shown and the number of posts shown, because the feed ends after a number of them. A cursor by
relevance
holds the ranked posts that remain, because a ranking made a minute later would be another one (decision 8). Both hold the newest
post of the first page, so that newer posts can be counted.
Anyone can compute a cursor's checksum, so the content may still be nonsense, and is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Self
from uuid import UUID

from fanfold.core.ids import created_at_ms, first_post_id_at
from fanfold.http.cursors import decode_cursor, encode_cursor, refused_cursor
from fanfold.http.problems import Invalid

Ranking = Literal["relevance", "chronological"]

MOST_RANKED = 100
"""The longest window of a ranking."""

_BY_TIME = struct.Struct(">16s16sI")
_RANKED = struct.Struct(">16s6sB")
_MS_BYTES = 6
_FINGERPRINT_BYTES = 4
_ID_BITS = 128
_ID_MASK = (1 << _ID_BITS) - 1
_FINGERPRINT_SHIFT = _ID_BITS - 8 * _FINGERPRINT_BYTES
# Powers of an odd number with ones and zeros as if at random: 2^128 divided by the golden ratio.
_MULTIPLIERS = tuple(
    pow(0x9E3779B97F4A7C15F39CC0605CEDC835, salt + 1, 1 << _ID_BITS) for salt in range(256)
)
_UUID7 = first_post_id_at(0).int
_VERSION_AND_VARIANT = 0xF << 76 | 0b11 << 62


def feed_scope(ranking: Ranking, viewer: str) -> str:
    """What a feed's cursors are bound to. The number is that of the form: a cursor of another one is refused."""
    form = {"relevance": 2, "chronological": 1}[ranking]
    return f"feed/{ranking}/{form}/{viewer}"


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
    """The rest of a ranking, and what a later page needs to find its posts again.

    A post is named by its fingerprint: four bytes instead of sixteen. No two posts of the ranked window have the same one. A post that was not ranked
    has one of `remaining` by a chance of their number in 2^32.
    """

    remaining: tuple[int, ...]
    """Fingerprints, in the order of the ranking."""

    newest: UUID
    """The newest post that was ranked."""

    oldest_ms: int
    """The millisecond of the oldest one."""

    salt: int
    """Which fingerprints these are."""

    @classmethod
    def of(cls, rest: Iterable[int], *, window: Sequence[int]) -> Self:
        """The cursor for the rest of a ranked window: the integers in the posts' ids, those of the window with the newest first."""
        salt, prints = next(
            (salt, prints)
            for salt in range(len(_MULTIPLIERS))
            if len(set((prints := _fingerprints(window, salt)).values())) == len(prints)
        )
        remaining = tuple(map(prints.__getitem__, rest))
        return cls(remaining, UUID(int=window[0]), window[-1] >> 80, salt)

    def fingerprint(self, number: int) -> int:
        """That of the post with this integer in its id."""
        return _fingerprint(number, self.salt)

    def encode(self, *, scope: str) -> str:
        """The newest post, the oldest one's millisecond, the salt, and the fingerprints."""
        head = _RANKED.pack(self.newest.bytes, self.oldest_ms.to_bytes(_MS_BYTES), self.salt)
        rest = struct.pack(f">{len(self.remaining)}I", *self.remaining)
        return encode_cursor(head + rest, scope=scope)

    @classmethod
    def decode(cls, text: str, *, scope: str) -> Self:
        payload = decode_cursor(text, scope=scope)
        count, over = divmod(len(payload) - _RANKED.size, _FINGERPRINT_BYTES)
        if over or not 0 < count <= MOST_RANKED:
            raise refused_cursor()
        raw, oldest, salt = _RANKED.unpack_from(payload)
        newest, oldest_ms = UUID(int=_post_number(raw)), int.from_bytes(oldest)
        remaining = struct.unpack_from(f">{count}I", payload, _RANKED.size)
        if len(set(remaining)) != count or oldest_ms > created_at_ms(newest):
            raise refused_cursor()
        return cls(remaining, newest, oldest_ms, salt)


def _fingerprint(number: int, salt: int) -> int:
    """The upper bits of a product, to which every bit of the number contributes."""
    return (number * _MULTIPLIERS[salt] & _ID_MASK) >> _FINGERPRINT_SHIFT


def _fingerprints(numbers: Iterable[int], salt: int) -> dict[int, int]:
    """That of each number. Written out, because every first page has a hundred."""
    multiplier = _MULTIPLIERS[salt]
    return {number: (number * multiplier & _ID_MASK) >> _FINGERPRINT_SHIFT for number in numbers}


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
