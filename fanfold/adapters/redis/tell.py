"""A writer's calls to one server: forget keys, and push entries onto lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from fanfold.adapters import metrics
from fanfold.adapters.redis import form, scripts
from fanfold.adapters.redis.connection import Connection
from fanfold.adapters.redis.link import (
    Command,
    Link,
    ServerError,
    cause_of,
    checked,
    one_each,
    pack,
)
from fanfold.core.errors import CacheUnavailable

T = TypeVar("T")

STEP = 500
"""Keys in one step of the server: half a millisecond, in which it answers no other client."""

_STEPS_IN_FLIGHT = 8
_KEYS_IN_FLIGHT = STEP * _STEPS_IN_FLIGHT
_ENTRIES = 500


class Tell:
    """Raises `CacheUnavailable` when it is unknown whether the server took all of it.

    `of_cluster`: the keys of one command must have one slot, so each key has a command.
    """

    def __init__(self, connection: Connection, *, longest_list: int, of_cluster: bool) -> None:
        self._connection = connection
        self._longest_list = longest_list
        self._of_cluster = of_cluster

    async def forget(self, keys: Sequence[str]) -> None:
        if self._of_cluster:
            for some in steps(keys, _KEYS_IN_FLIGHT):
                await self._told("forget", one_each(some, b"UNLINK"), len(some))
            return
        await self._tell("forget", [("UNLINK", *some) for some in steps(keys)])

    async def push(self, entries: Sequence[bytes], keys: Sequence[str]) -> None:
        """Push every entry in front of each of these lists that exists."""
        if self._of_cluster:
            await self._push_each(entries, keys)
            return
        calls = [
            scripts.PUSH.call(some_keys, self._longest_list, *some)
            for some in steps(entries, _ENTRIES)
            for some_keys in steps(keys, STEP // len(some))
        ]
        await self._tell("push", calls)

    async def _push_each(self, entries: Sequence[bytes], keys: Sequence[str]) -> None:
        """The same as the script, in two steps. An entry pushed between them is forgotten with the list, which is never wrong."""
        for some in steps(entries, _ENTRIES):
            for some_keys in steps(keys, _KEYS_IN_FLIGHT):
                packed = one_each(some_keys, b"LPUSHX", *some)
                lengths = await self._told("push", packed, len(some_keys), foreign=True)
                # A number for each key, unless there was an error.
                if set(map(type, lengths)) == {int} and max(lengths) <= self._longest_list:
                    continue
                useless = [
                    key
                    for key, length in zip(some_keys, lengths, strict=True)
                    if isinstance(length, ServerError) or length > self._longest_list
                ]
                await self._told("push", one_each(useless, b"UNLINK"), len(useless))

    async def _tell(self, call: str, commands: Sequence[Command]) -> None:
        for some in steps(commands, _STEPS_IN_FLIGHT):
            await self._told(call, pack(some), len(some))

    async def _told(
        self, call: str, packed: bytes, count: int, *, foreign: bool = False
    ) -> Sequence[Any]:
        """The answers. `foreign`: also those of keys that hold something else than a list, which the caller forgets, as the script does."""
        try:
            return await self._told_twice(packed, count, foreign=foreign)
        except CacheUnavailable as error:
            metrics.FAILURES.labels(call, cause_of(error)).inc()
            raise

    async def _told_twice(self, packed: bytes, count: int, *, foreign: bool) -> Sequence[Any]:
        """Tell once more over a new connection if this one is lost. Repeating is harmless: everything told may be told twice."""
        link = (await self._connection.opened()).link
        try:
            return await self._answers(link, packed, count, foreign=foreign)
        except CacheUnavailable as error:
            close_if_useless(link, error)
            if not link.closed.is_set():
                raise
            link = (await self._connection.opened()).link
            return await self._answers(link, packed, count, foreign=foreign)

    async def _answers(
        self, link: Link, packed: bytes, count: int, *, foreign: bool
    ) -> Sequence[Any]:
        answers = await link.ask_packed(packed, count, patient=True)
        checked([a for a in answers if not form.is_foreign(a)] if foreign else answers)
        self._connection.check_still_told(link)
        return answers

    async def ping(self) -> None:
        link = (await self._connection.opened()).link
        checked(await link.ask(("PING",)))


def steps(items: Sequence[T], size: int = STEP) -> Iterator[Sequence[T]]:
    """The items in portions."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def close_if_useless(link: Link, error: CacheUnavailable) -> None:
    """A new connection loads the scripts again if they were flushed, and notices a server that has become a replica."""
    if isinstance(error, ServerError) and error.code in ("NOSCRIPT", "READONLY"):
        link.close(str(error))
