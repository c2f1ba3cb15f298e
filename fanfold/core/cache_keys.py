"""The keys of the shared cache and the form of a feed's entries: the one place where writers and readers agree on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from uuid import UUID

KINDS = ("feed", "post", "like_count", "name", "graph", "recent_likes", "authored", "pulled")
"""What stands before the first colon of a key."""

_ID_BYTES = 16
_FEED = "feed:user:"
_id_bytes: Callable[[bytes], bytes] = itemgetter(slice(_ID_BYTES))
_author_bytes: Callable[[bytes], bytes] = itemgetter(slice(_ID_BYTES, None))


def feed_key(user_id: str) -> str:
    """A reader's timeline, as a list of pointers: see `feed_entry`."""
    return f"{_FEED}{user_id}"


def kind_of(key: str) -> str:
    """What stands before the first colon."""
    return key.partition(":")[0]


def names_a_feed(key: str) -> bool:
    """Whether it is the key of a list."""
    return key.startswith(_FEED)


def post_key(post_id: UUID) -> str:
    """A post's content, and whether it is deleted."""
    return f"post:{post_id}"


def like_count_key(post_number: int) -> str:
    """A post's like count, and whether it is deleted: what ranking needs of it.

    The key holds the 32 digits of the integer in the post's id: a page asks for a hundred keys, and an id as text takes five times as long
    to make.
    """
    return f"like_count:{post_number:032x}"


def name_key(user_id: str) -> str:
    """A user's display name and avatar, or that the user has left."""
    return f"name:{user_id}"


def graph_key(user_id: str) -> str:
    """Which authors a viewer sees: follows without mutes and blocks, and whether the viewer sleeps or has left."""
    return f"graph:{user_id}"


def recent_likes_key(user_id: str) -> str:
    """A viewer's last likes."""
    return f"recent_likes:{user_id}"


def authored_key(author_id: str) -> str:
    """An author's newest posts."""
    return f"authored:{author_id}"


def pulled_key(author_id: str) -> str:
    """A celebrity's newest pulled posts."""
    return f"pulled:{author_id}"


def feed_entry(post_id: UUID, author_id: str) -> bytes:
    """A pointer: the 16 bytes of the post id, then the author's id. Entries in descending order are newest first."""
    return post_id.bytes + author_id.encode()


def entry_number(entry: bytes) -> int:
    """The post id of an entry, as an integer."""
    return int.from_bytes(entry[:_ID_BYTES])


def entry_numbers(entries: Iterable[bytes]) -> list[int]:
    """The post ids of entries, as integers."""
    return [*map(int.from_bytes, map(_id_bytes, entries))]


def entry_authors(entries: Iterable[bytes]) -> list[str]:
    """The authors of entries, each as `entry_author`."""
    # At once, because a page has hundreds of entries.
    authors = [*map(_author_bytes, entries)]
    try:
        return [*map(bytes.decode, authors)]
    except UnicodeDecodeError:
        return [author.decode(errors="replace") for author in authors]


def entry_author(entry: bytes) -> str:
    """The author of an entry; if it can't be read, a text that is no user's id."""
    return entry[_ID_BYTES:].decode(errors="replace")
