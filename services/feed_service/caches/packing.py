"""The form of values in the shared cache: JSON, so that an operator can read them with the cache's own command line.

A form that changes needs a new key: processes of two versions share the cache during an update. The functions that unpack raise one
of `UNREADABLE` for what they can't read.
"""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import lru_cache
from struct import iter_unpack
from typing import Any, Final
from uuid import UUID

import orjson

from fanfold.core.ports import AuthoredPost, Counted, Post
from fanfold.http.post_resource import Author
from feed_service.caches.recent_likes import RecentLikes
from feed_service.caches.viewer_graph import ViewerGraph

UNREADABLE: Final = (ValueError, TypeError, OverflowError, AttributeError)
_INTEGER_OR_NONE: Final = (int, type(None))


def pack_content(post: Post) -> bytes:
    """What a feed shows of a post, without its likes."""
    return orjson.dumps((post.author_id, post.content, post.edited_at_ms, post.deleted))


def unpack_post(number: int, content: bytes, packed: bytes) -> Post:
    """The post of that integer, of its content and what ranking needs of it."""
    counted = unpack_counted(packed)
    author_id, text, edited_at_ms, deleted = orjson.loads(content)
    return Post(
        UUID(int=number),
        _one_of(author_id, str),
        _one_of(text, str),
        _one_of(edited_at_ms, *_INTEGER_OR_NONE),
        _one_of(deleted, bool),
        like_count=counted.like_count,
    )


def pack_counted(counted: Counted) -> bytes:
    """What ranking needs of a post."""
    return orjson.dumps((counted.like_count, counted.deleted))


# It runs for every candidate of every page, and most posts have one of a few counts.
@lru_cache(maxsize=4096)
def unpack_counted(packed: bytes) -> Counted:
    like_count, deleted = orjson.loads(packed)
    if type(like_count) is not int or like_count < 0 or type(deleted) is not bool:
        raise TypeError("not counted")
    return Counted(like_count, deleted)


def pack_name(author: Author | None) -> bytes:
    """The name and the avatar to show; two nulls for a user who has left."""
    return orjson.dumps((None, None) if author is None else tuple(author))


def unpack_name(packed: bytes) -> Author | None:
    name, avatar_url = orjson.loads(packed)
    if name is None and avatar_url is None:
        return None
    return Author(_one_of(name, str), _one_of(avatar_url, str, type(None)))


def pack_graph(graph: ViewerGraph) -> bytes:
    """A viewer's graph."""
    return orjson.dumps(
        (
            list(graph.visible),
            graph.unmaterialised,
            graph.asleep,
            graph.asleep_offset,
            graph.woke_offset,
            graph.left,
        )
    )


def unpack_graph(packed: bytes) -> ViewerGraph:
    visible, unmaterialised, asleep, asleep_offset, woke_offset, left = orjson.loads(packed)
    return ViewerGraph(
        visible=frozenset(_strings(visible)),
        unmaterialised=tuple(_strings(unmaterialised)),
        asleep=_one_of(asleep, bool),
        asleep_offset=_one_of(asleep_offset, *_INTEGER_OR_NONE),
        woke_offset=_one_of(woke_offset, *_INTEGER_OR_NONE),
        left=_one_of(left, bool),
    )


def pack_recent_likes(likes: RecentLikes) -> bytes:
    """A viewer's last likes."""
    return orjson.dumps(
        (
            dict(likes.author_shares),
            likes.complete_since_ms,
            _packed(likes.upper_halves),
            _packed(likes.lower_halves),
        )
    )


def unpack_recent_likes(packed: bytes) -> RecentLikes:
    shares, complete_since_ms, upper_halves, lower_halves = orjson.loads(packed)
    if len(upper_halves) != len(lower_halves):
        raise ValueError("not as many upper halves as lower ones")
    return RecentLikes(
        {author_id: _one_of(share, float) for author_id, share in shares.items()},
        _one_of(complete_since_ms, *_INTEGER_OR_NONE),
        _unpacked(_one_of(upper_halves, str)),
        _unpacked(_one_of(lower_halves, str)),
    )


def _strings(given: Any) -> list[str]:
    # Not one by one, because a graph may hold thousands.
    if type(given) is not list or not set(map(type, given)) <= {str}:
        raise TypeError("not a list of strings")
    return given


def _packed(halves: array[int]) -> str:
    # Less than half of what numbers would take in JSON.
    return b64encode(halves.tobytes()).decode()


def _unpacked(packed: str) -> array[int]:
    return array("Q", b64decode(packed, validate=True))


def pack_authored(newest: Sequence[AuthoredPost]) -> bytes:
    """An author's newest posts, newest first."""
    return orjson.dumps([(str(post_id), delivery) for post_id, delivery in newest])


def unpack_authored(packed: bytes) -> list[AuthoredPost]:
    return [
        AuthoredPost(UUID(post_id), _one_of(delivery, str, type(None)))
        for post_id, delivery in _one_of(orjson.loads(packed), list)
    ]


def pack_pulled(numbers: Sequence[int]) -> bytes:
    """An author's newest pulled posts, newest first: the integers in their ids."""
    return orjson.dumps(b64encode(b"".join(number.to_bytes(16) for number in numbers)).decode())


def unpack_pulled(packed: bytes) -> list[int]:
    # As UUIDs in JSON, fifty took ten times as long, and a feed may follow a hundred celebrities.
    ids = b64decode(_one_of(orjson.loads(packed), str), validate=True)
    if len(ids) % 16:
        raise ValueError("not whole ids")
    return [upper << 64 | lower for upper, lower in iter_unpack(">QQ", ids)]


def _one_of(value: Any, *types: type) -> Any:
    if type(value) not in types:
        raise TypeError(f"not one of {types}")
    return value
