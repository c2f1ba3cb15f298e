"""Where a worker dies and in what order its steps happen: stores and logs that a test cuts and schedules."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from fanfold.core.events import Event
from fanfold.core.ports import Stores

# --- killing -------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: nothing catches it, nothing more is written."""


@dataclass
class Life:
    """A number of writes, after which every write kills. Counts them all when it has no end."""

    writes: int | None = None
    written: int = 0

    def spend(self) -> None:
        if self.writes is not None and self.written >= self.writes:
            raise Killed
        self.written += 1


WRITES = {
    *(
        "create",
        "edit",
        "note_offset",
        "delete",
        "set_delivery",
        "register",
        "write_follower_count",
        "write_post_count",
    ),
    *("add_pulled", "keep", "announce", "mark_announced"),
    *("write_plan", "uncount", "finish_slice", "append", "dead_letter"),
    *(
        "write_mute",
        "write_block",
        "set_asleep",
        "begin_waking",
        "leave",
        "note_reads",
    ),
}


class Mortal:
    """A port whose every single write spends life: a write of many rows can be cut between any two of them."""

    def __init__(self, port: Any, life: Life) -> None:
        self._port = port
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in WRITES:
            return method

        async def write(*args: Any, **kwargs: Any) -> Any:
            self._life.spend()
            return await method(*args, **kwargs)

        return write

    async def push(self, pointers: Sequence[Any], user_ids: Sequence[str]) -> int:
        rows = 0
        for user_id in user_ids:
            self._life.spend()
            rows += await self._port.push(pointers, [user_id])
        return rows

    async def mark_materialised(self, followee_id: str, follows: Sequence[Any]) -> None:
        for follow in follows:
            self._life.spend()
            await self._port.mark_materialised(followee_id, [follow])

    async def write_counts(self, counts: Mapping[Any, Any]) -> None:
        for post_id, count in counts.items():
            self._life.spend()
            await self._port.write_counts({post_id: count})

    async def write_recent(self, entries: Sequence[Any]) -> None:
        for entry in entries:
            self._life.spend()
            await self._port.write_recent([entry])

    async def write(self, likes: Sequence[Any]) -> None:
        for like in likes:
            self._life.spend()
            await self._port.write([like])

    async def append_many(self, batch: Sequence[Event]) -> None:
        for event in batch:
            self._life.spend()
            await self._port.append(event)


def mortal(stores: Stores, life: Life) -> Stores:
    return Stores(
        posts=Mortal(stores.posts, life),
        idempotency_keys=stores.idempotency_keys,
        users=Mortal(stores.users, life),
        follows=MortalFollows(stores.follows, life),
        ties=Mortal(stores.ties, life),
        timelines=Mortal(stores.timelines, life),
        pulled_authors=Mortal(stores.pulled_authors, life),
        jobs=Mortal(stores.jobs, life),
        likes=Mortal(stores.likes, life),
        activity=Mortal(stores.activity, life),
        cache_switch=Mortal(stores.cache_switch, life),
        revocations=Mortal(stores.revocations, life),
        sweeps=Mortal(stores.sweeps, life),
        tickets=Mortal(stores.tickets, life),
        ping=stores.ping,
    )


class MortalFollows(Mortal):
    """Dies between the two sides of an edge as well."""

    async def write_followers(self, followee_id: str, edges: Sequence[Any]) -> None:
        for edge in edges:
            self._life.spend()
            await self._port.write_followers(followee_id, [edge])

    async def write_following(
        self, followee_id: str, edges: Sequence[Any], *, materialised: Collection[str] = ()
    ) -> None:
        for edge in edges:
            self._life.spend()
            await self._port.write_following(followee_id, [edge], materialised=materialised)

    async def mark_asleep(
        self, follower_id: str, edges: Sequence[Any], *, asleep: bool, offset: int
    ) -> None:
        for edge in edges:
            self._life.spend()
            await self._port.mark_asleep(follower_id, [edge], asleep=asleep, offset=offset)


# --- ordering ------------------------------------------------------------------------------------------

_actor: ContextVar[str] = ContextVar("_actor")


@dataclass
class Turns:
    """Lets named actors take their store calls in a given order. An actor that has ended gives up the rest of its turns.

    An actor makes one call at a time: what it would do concurrently takes turns of the same actor.
    """

    order: Iterator[str]
    actors: set[str]
    taken: list[str] = field(default_factory=list)
    _waiting: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    _calling: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    async def run(self, name: str, work: Awaitable[Any]) -> None:
        _actor.set(name)
        try:
            await work
        finally:
            self.actors.discard(name)
            self._next()

    async def turn(self) -> None:
        name = _actor.get()
        async with self._calling[name]:
            mine = self._waiting[name] = asyncio.get_running_loop().create_future()
            self._next()
            await mine

    def _next(self) -> None:
        if not self.actors or self._waiting.keys() != self.actors:
            return
        name = next((n for n in self.order if n in self.actors), min(self.actors))
        self.taken.append(name)
        self._waiting.pop(name).set_result(None)


class Turned:
    """A port whose every call waits for its actor's turn."""

    def __init__(self, port: Any, turns: Turns) -> None:
        self._port = port
        self._turns = turns

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._turns.turn()
            return await method(*args, **kwargs)

        return call


def turned(stores: Stores, turns: Turns) -> Stores:
    ports = {name: getattr(stores, name) for name in Stores.__dataclass_fields__ if name != "ping"}
    taking_turns: dict[str, Any] = {name: Turned(port, turns) for name, port in ports.items()}
    return Stores(**taking_turns, ping=stores.ping)
