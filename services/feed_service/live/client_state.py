"""The state of a live feed's client, and the changes that turn it into the feed: pure.

An event's id is the whole state of its receiver after that event: the ids of the posts, and a digest of each as shown. So
a stream that was cut off can go on in any process and after any time, and servers keep nothing about clients.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import orjson

from fanfold.http.cursors import decode_cursor, encode_cursor, refused_cursor
from feed_service.query.items import FeedItem

MOST_ITEMS = 50
"""Most posts in a live feed. Their state is an id of 1.7 KB, which every client and proxy accepts."""

_SHOWN = struct.Struct(">16s8s")

State = Mapping[UUID, bytes]
"""Post id → digest of the item as it was sent."""


class Change(NamedTuple):
    """The way from one state to the next: items to insert or replace, oldest first, and posts to drop."""

    shown: list[FeedItem]
    removed: list[UUID]


def state_of(items: Sequence[FeedItem]) -> State:
    """The state of a client that shows these items."""
    return {item.post_id: blake2b(orjson.dumps(item), digest_size=8).digest() for item in items}


def change(before: State, items: Sequence[FeedItem]) -> Change:
    """The change from a client's state to these items, which are newest first."""
    after = state_of(items)
    shown = [item for item in reversed(items) if before.get(item.post_id) != after[item.post_id]]
    return Change(shown, [post_id for post_id in before if post_id not in after])


def state_id(state: State, *, scope: str) -> str:
    """The id of an event after which its client is in that state."""
    packed = b"".join(_SHOWN.pack(post_id.bytes, digest) for post_id, digest in state.items())
    return encode_cursor(packed, scope=scope)


def state_of_id(event_id: str, *, scope: str) -> State:
    """The state that an event's id holds. Answers 422 for text that is no id of this scope."""
    packed = decode_cursor(event_id, scope=scope)
    if len(packed) % _SHOWN.size or len(packed) > MOST_ITEMS * _SHOWN.size:
        raise refused_cursor()
    return {UUID(bytes=raw): digest for raw, digest in _SHOWN.iter_unpack(packed)}
