"""The servers of a cluster as one process knows them: which server has which slot, and a cache for each server."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self, cast

from fanfold.adapters.redis.address import Address, CacheUrl, client_tls
from fanfold.adapters.redis.connection import Connection, ended
from fanfold.adapters.redis.link import Command
from fanfold.adapters.redis.shared_cache import RedisSharedCache
from fanfold.adapters.redis.slots import SLOTS, SlotMap, slot_of, view_of
from fanfold.adapters.redis.witnesses import Witnesses
from fanfold.core.clock import Clock
from fanfold.core.errors import CacheUnavailable
from fanfold.core.settings import Settings

_LOOK_EVERY_S = 0.5
_TRUSTED_S = 1.0
# The number of nodes asked at a time. A single node may have been paused while a replica took over, and not know it yet.
_ASKED = 3
_WHO_HAS_WHAT: Command = ("CLUSTER", "NODES")

_log = logging.getLogger(__name__)


class Cluster:
    """A context manager. From its first use on it asks twice a second which server has which slot."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        epoch: Callable[[], bytes | None],
        settles_s: float,
    ) -> None:
        self.ticked: Callable[[float], None] = lambda _: None
        self.settles_s = settles_s
        self._settings = settings
        self._seeds = CacheUrl.of(settings).addresses
        self._clock = clock
        self._epoch = epoch
        self._witnesses = Witnesses(settings)
        self._slots = SlotMap()
        self._nodes: dict[Address, _Node] = {}
        self._by_slot: list[RedisSharedCache | None] = [None] * SLOTS
        self._turn = 0
        self._looked_at_s = float("-inf")
        self._looking: asyncio.Task[bool] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._away = False

    @property
    def caches(self) -> list[RedisSharedCache]:
        """The caches of all masters."""
        self._start()
        return [node.cache for node in self._nodes.values()]

    def cache_of(self, key: str) -> RedisSharedCache | None:
        """The cache of the master that has the key's slot; None while no master is known to have it."""
        self._start()
        return self._by_slot[slot_of(key)]

    def places(self, keys: Sequence[str]) -> dict[RedisSharedCache, list[int]]:
        """The places of these keys among them, by cache; without those whose server is not known."""
        self._start()
        by_slot = self._by_slot
        places: dict[RedisSharedCache | None, list[int]] = defaultdict(list)
        for place, slot in enumerate(map(slot_of, keys)):
            places[by_slot[slot]].append(place)
        places.pop(None, None)
        return cast(dict[RedisSharedCache, list[int]], places)

    @property
    def known_lately(self) -> bool:
        """Whether the slots were looked at within the last second."""
        return self._clock.monotonic_s() - self._looked_at_s <= _TRUSTED_S

    async def look(self) -> bool:
        """Ask which server has which slot, and return whether that has changed.

        Concurrent callers share one look. Raises `CacheUnavailable`.
        """
        self._start()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="looks at the cache's slots")
        return await asyncio.shield(self._looking)

    async def _look(self) -> bool:
        asked_at_s = self._clock.monotonic_s()
        try:
            answers = await self._answers()
            views = [view_of(answer, asked=address) for address, answer in answers.items()]
        except (TypeError, ValueError, AttributeError) as error:
            raise CacheUnavailable(
                f"a node does not say which server has which slot: {error}"
            ) from error
        finally:
            self._looking = None
        changed = self._slots.take(views)
        if len(views) >= min(2, len(self._slots.masters)):
            self._looked_at_s = asked_at_s
        if changed:
            await self._meet()
        return changed

    async def _answers(self) -> dict[Address, bytes]:
        """The answers of some known nodes, different ones each time.

        Of the addresses in the settings while too few nodes are known, or none of them answers.
        """
        known = sorted(self._slots.masters, key=str)
        asked = known if len(known) >= _ASKED else [*dict.fromkeys([*known, *self._seeds])]
        self._turn = (self._turn + 1) % len(asked)
        some = [*asked[self._turn :], *asked[: self._turn]][:_ASKED]
        try:
            return await self._witnesses.ask(some, _WHO_HAS_WHAT)
        except CacheUnavailable:
            return await self._witnesses.ask(self._seeds, _WHO_HAS_WHAT)

    async def _meet(self) -> None:
        masters = self._slots.masters
        for address in masters - self._nodes.keys():
            self._nodes[address] = self._a_node(address)
        gone = [self._nodes.pop(address) for address in self._nodes.keys() - masters]
        self._by_slot = [
            None if owner is None else self._nodes[owner].cache for owner in self._slots.owners
        ]
        for node in gone:
            await node.connection.close()

    def _a_node(self, address: Address) -> _Node:
        master = _KnownMaster(self, address)
        connection = Connection(self._settings, master, clock=self._clock, of_cluster=True)
        cache = RedisSharedCache(
            self._settings,
            connection,
            clock=self._clock,
            epoch=self._epoch,
            of_cluster=True,
            part=lambda: 1 / len(self._nodes),
        )
        return _Node(connection, cache)

    def _start(self) -> None:
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="watches the cache's slots")

    async def _keep(self) -> None:
        at_s = self._clock.monotonic_s()
        while True:
            try:
                await self.look()
                self._say(away=False, why="")
            except CacheUnavailable as error:
                self._say(away=True, why=str(error))
            await self._clock.sleep(max(0.0, at_s + _LOOK_EVERY_S - self._clock.monotonic_s()))
            then_s, at_s = at_s, self._clock.monotonic_s()
            self.ticked(at_s - then_s)

    def _say(self, *, away: bool, why: str) -> None:
        if away and not self._away:
            _log.warning("the shared cache's cluster is away: %s", why)
        elif self._away and not away:
            _log.warning("the shared cache's cluster answers again")
        self._away = away

    async def __aenter__(self) -> Self:
        # A wrong path is a mistake in the configuration: it must fail now.
        client_tls(self._settings)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await ended(self._keeping, self._looking)
        for node in self._nodes.values():
            await node.connection.close()
        self._witnesses.close()


class _Node(NamedTuple):
    connection: Connection
    cache: RedisSharedCache


class _KnownMaster:
    """Implements `Master`: one of the cluster's, as long as its slots were looked at lately."""

    def __init__(self, cluster: Cluster, address: Address) -> None:
        self.settles_s = cluster.settles_s
        self._cluster = cluster
        self._address = address

    async def address(self) -> Address:
        if not self._cluster.known_lately:
            raise CacheUnavailable("it is not known which server has which slot")
        return self._address

    def close(self) -> None:
        """Nothing to close: the cluster keeps the connections that it asks over."""
