"""Decides which edges of an import are appended, and which users are registered before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from fanfold.core.ports import Stores
from fanfold.ops.graph_import.edge_list import Edge, Wrong

CaughtUp = Callable[[], Awaitable[None]]
"""Returns when the tables show everything that the log held when it was called."""

# Concurrent reads. Live traffic reads the same tables.
_READS = 64
_KEPT_FULL = 100


class Admitted(NamedTuple):
    """Edges by their index in the batch, in order. The `unregistered` users of the good edges must be registered first."""

    unregistered: list[str]
    good: list[int]
    refused: list[tuple[int, Wrong]]


class Admission:
    """Reads each user once, and remembers up to `remembers` users.

    It counts what was appended and is not projected yet, so its decisions are exact as long as no other client changes the
    follows of the same users at the same time.
    """

    def __init__(
        self,
        stores: Stores,
        *,
        caught_up: CaughtUp,
        register: bool,
        max_following: int,
        remembers: int = 1_000_000,
    ) -> None:
        self._stores = stores
        self._caught_up = caught_up
        self._register = register
        self._max_following = max_following
        self._remembers = remembers
        # Whether a user had been registered before this import saw it.
        self._registered: dict[str, bool] = {}
        # An upper bound of the users that a follower follows: a repeated line is counted twice.
        self._following: dict[str, int] = {}
        # The exact followees of each follower near the limit.
        self._full: dict[str, set[str]] = {}

    async def admit(self, edges: Sequence[Edge]) -> Admitted:
        """Decide on a batch. Raises `Unavailable`; then nothing is decided."""
        if len(self._registered) + len(self._following) > self._remembers:
            await self._caught_up()
            self._registered.clear()
            self._following.clear()
            self._full.clear()
        unregistered = await self._unregistered(edges) if self._register else []
        await self._count_follows({edge.follower_id for edge in edges})
        await self._read_near_limit(edges)
        # No `await` below: a batch is decided as a whole, or not at all.
        good: list[int] = []
        refused: list[tuple[int, Wrong]] = []
        for index, edge in enumerate(edges):
            if self._takes(edge):
                good.append(index)
            else:
                why = (
                    f"{edge.follower_id} follows {self._max_following} already, which is the limit"
                )
                refused.append((index, Wrong(why)))
        seen = {user_id for index in good for user_id in edges[index][:2]}
        unregistered = [user_id for user_id in unregistered if user_id in seen]
        self._registered.update(dict.fromkeys(unregistered, False))
        return Admitted(unregistered, good, refused)

    def _takes(self, edge: Edge) -> bool:
        follows = self._full.get(edge.follower_id)
        if follows is None:
            self._following[edge.follower_id] += 1
            return True
        if edge.followee_id not in follows and len(follows) >= self._max_following:
            return False
        follows.add(edge.followee_id)
        self._following[edge.follower_id] = len(follows)
        return True

    async def _unregistered(self, edges: Sequence[Edge]) -> list[str]:
        ids = dict.fromkeys(user_id for edge in edges for user_id in edge[:2])
        new = [user_id for user_id in ids if user_id not in self._registered]
        found = {}
        for some in _chunks(new):
            found.update(await self._stores.users.get_many(some))
        names = {user_id: user.display_name for user_id, user in found.items()}
        self._registered.update(
            {user_id: True for user_id in new if names.get(user_id) is not None}
        )
        return [user_id for user_id in new if names.get(user_id) is None]

    async def _count_follows(self, follower_ids: Collection[str]) -> None:
        for follower_id in follower_ids:
            # An unregistered user follows nobody yet: that saves a read for each user of an empty system.
            if self._register and not self._registered.get(follower_id, False):
                self._following.setdefault(follower_id, 0)
        new = [follower_id for follower_id in follower_ids if follower_id not in self._following]
        for follower_id, follows in (await self._follows(new)).items():
            self._following[follower_id] = len(follows)

    async def _read_near_limit(self, edges: Sequence[Edge]) -> None:
        """Read the exact follows of the followers that this batch may bring to the limit."""
        more: dict[str, int] = {}
        for edge in edges:
            more[edge.follower_id] = more.get(edge.follower_id, 0) + 1
        near = [
            follower_id
            for follower_id, count in more.items()
            if follower_id not in self._full
            and self._following[follower_id] + count > self._max_following
        ]
        if near:
            await self._caught_up()
            follows = await self._follows(near)
            others = [follower_id for follower_id in self._full if follower_id not in more]
            for follower_id in others[: max(0, len(self._full) - _KEPT_FULL)]:
                del self._full[follower_id]
            self._full.update(follows)
            self._following.update({follower_id: len(follows[follower_id]) for follower_id in near})

    async def _follows(self, follower_ids: Iterable[str]) -> Mapping[str, set[str]]:
        found: dict[str, set[str]] = {}
        for some in _chunks(follower_ids):
            rows = await asyncio.gather(
                *(self._stores.follows.following(follower_id) for follower_id in some)
            )
            for follower_id, follows in zip(some, rows, strict=True):
                found[follower_id] = {
                    follow.followee_id for follow in follows.values() if follow.active
                }
        return found


def _chunks(user_ids: Iterable[str]) -> Iterable[list[str]]:
    rest = iter(user_ids)
    while some := list(islice(rest, _READS)):
        yield some
