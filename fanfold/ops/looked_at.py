"""The engines of the installation that a command looks at: Kafka and Cassandra, or a copy of an embedded stack.

The tables of the embedded stack are in the memory of its process. So a command copies its log, which it may do while the process runs, and
rebuilds the tables from the copy in its own memory. The command's writes go to the copy, and are gone afterwards.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fanfold.core.clock import Clock
from fanfold.core.errors import FanfoldError, Fault
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.ops.installation import embedded_log, environment, settings_of


@dataclass(frozen=True, slots=True)
class LookedAt:
    """`is_copy`: the tables are a copy in this process, and so is what is written to them."""

    settings: Settings
    engines: Engines
    clock: Clock
    is_copy: bool


@asynccontextmanager
async def looked_at(data: Path, *, clock: Clock, source: str) -> AsyncIterator[LookedAt]:
    """The Kafka that the environment names, else the system that `make up` or `make run` keeps in `data`.

    With a cache, its epoch is known and watched. Raises `Unavailable` if it can't be read, and `Fault` for a log that can't be copied.
    """
    path = embedded_log(data)
    if path is not None:
        from all_in_one.demo import suited

        # Nobody else shares a cache with this process.
        settings = suited(environment()).model_copy(update={"cache": "none"})
        async with _copied(settings, path, clock=clock) as engines:
            yield LookedAt(settings, engines, clock, is_copy=True)
        return
    from fanfold.adapters.stacks import real

    settings = settings_of(data)
    async with real(settings, clock=clock, source=source) as engines, _watching(engines):
        yield LookedAt(settings, engines, clock, is_copy=False)


@asynccontextmanager
async def _watching(engines: Engines) -> AsyncIterator[None]:
    """Keep the cache's epoch known: without it the cache gives nothing."""
    if engines.cache_epoch is None:
        yield
        return
    await engines.cache_epoch.read()
    watching = asyncio.create_task(engines.cache_epoch.watch())
    try:
        yield
    finally:
        watching.cancel()


@asynccontextmanager
async def _copied(settings: Settings, path: Path, *, clock: Clock) -> AsyncIterator[Engines]:
    from all_in_one.system import replayed

    with tempfile.TemporaryDirectory() as directory:
        copy = copied_log(path, Path(directory))
        try:
            async with replayed(settings, clock=clock, path=copy) as tables:
                yield tables.engines
        except* FanfoldError as group:
            raise group.exceptions[0] from group


def copied_log(path: Path, directory: Path) -> Path:
    """A copy of the log as it is at one moment, also while another process appends to it. Raises `Fault`."""
    copy = directory / path.name
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as log,
            closing(sqlite3.connect(copy)) as target,
        ):
            log.backup(target)
    except sqlite3.Error as error:
        raise Fault(f"{path} can't be copied: {error}") from error
    return copy
