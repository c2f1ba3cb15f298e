"""The one query that every feed read makes, on the driver alone, bridged to asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from cassandra.cluster import Session

from fanfold.adapters.cassandra.author_walk import NEWEST_POST_ID
from fanfold.adapters.cassandra.connect import connect
from fanfold.core.ids import first_post_id_at
from fanfold.core.settings import MS_PER_DAY, Settings

# The number that the relevance ranking asks for.
TIMELINE = """
SELECT uuid_as_blob(post_id), author_id FROM user_timeline WHERE user_id = ? AND post_id < ? AND post_id >= ? LIMIT 129
"""


class BareReads:
    """Queries by one session. Call it from one event loop; `close` blocks briefly."""

    def __init__(self, settings: Settings) -> None:
        self._session: Session = connect(settings, keyspace=settings.cassandra_keyspace)
        self._timeline = self._session.prepare(TIMELINE)
        self._since = first_post_id_at(int(datetime.now(UTC).timestamp() * 1000) - 30 * MS_PER_DAY)

    async def one(self, user_id: str) -> list[Any]:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[list[Any]] = loop.create_future()
        sent = self._session.execute_async(self._timeline, (user_id, NEWEST_POST_ID, self._since))
        sent.add_callbacks(
            lambda rows: loop.call_soon_threadsafe(answered.set_result, rows),
            lambda error: loop.call_soon_threadsafe(answered.set_exception, error),
        )
        return await answered

    async def one_at_a_time_ms(self, users: Sequence[str]) -> list[float]:
        latencies = []
        for user in users:
            started = time.perf_counter()
            await self.one(user)
            latencies.append((time.perf_counter() - started) * 1000)
        return latencies

    async def most_per_s(
        self, user: Callable[[int], str], *, in_flight: int, seconds: float
    ) -> float:
        ends, asked = time.perf_counter() + seconds, 0
        started = time.perf_counter()

        async def keep_asking() -> None:
            nonlocal asked
            while time.perf_counter() < ends:
                asked += 1
                await self.one(user(asked))

        await asyncio.gather(*(keep_asking() for _ in range(in_flight)))
        return asked / (time.perf_counter() - started)

    def close(self) -> None:
        self._session.cluster.shutdown()
