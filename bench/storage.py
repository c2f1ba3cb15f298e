"""(e) Bytes on disk for a delivery: the size of the timelines' files after a restart has flushed them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.crowd import new_post, patiently, reader_id
from bench.fan_outs import WrongResult
from bench.report import Section
from bench.row_count import rows_in
from bench.stack import Bench, System, running
from fanfold.core.ports import Pointer
from tests.support.jars import JarNode


@dataclass(frozen=True, slots=True)
class World:
    """Each reader follows a different part of the authors."""

    readers: int
    authors: int
    followers_each: int


FULL = World(readers=10_000, authors=2_000, followers_each=500)
QUICK = World(readers=1_000, authors=200, followers_each=50)


async def storage(bench: Bench) -> Section:
    world: World = bench.pick(FULL, QUICK)
    settings = await bench.new_system()
    async with running(bench, settings) as own:
        bench.say(f"delivering {world.authors:,} posts to {world.followers_each} followers each")
        rows = await _deliver(own, world)
    bench.say("restarting Cassandra")
    await asyncio.to_thread(restart, bench)
    counted = await asyncio.to_thread(rows_in, settings, "user_timeline", "user_id")
    if counted != rows:
        raise WrongResult(f"{counted:,} rows after the restart; {rows:,} were delivered")
    sizes = sstable_bytes(cassandra_home(bench), settings.cassandra_keyspace, "user_timeline")
    return _section(sizes, rows, world)


def _section(sizes: dict[str, int], rows: int, world: World) -> Section:
    data = sum(size for name, size in sizes.items() if name.endswith("-Data.db"))
    section = Section("e", "Storage: bytes on disk a delivery")
    section.rows.append(
        {
            "what": f"{rows // world.readers} pointers in each of {world.readers:,} timelines, on average",
            "bytes a delivery": sum(sizes.values()) / rows,
            "of it data": data / rows,
            "SSTables": sum(name.endswith("-Data.db") for name in sizes),
        }
    )
    section.notes = [
        "All files of user_timeline (data, index, filter, statistics) after a clean stop and a start, which flushes.",
        f"Each timeline is another mix of {world.authors:,} authors: alike ones would compress to next to nothing.",
        "Written by the adapter that the worker writes through, without the log. No compaction is forced; once, not in rounds.",
        f"Checked: each of the {rows:,} rows was there after the restart.",
    ]
    return section


async def _deliver(system: System, world: World) -> int:
    now_ms, rows = time.time_ns() // 1_000_000, 0
    for number in range(world.authors):
        chosen = random.Random(number).sample(range(world.readers), world.followers_each)  # noqa: S311 - no secret
        post = new_post(f"author-{number:04}", now_ms=now_ms - number * 60_000)
        pointer = Pointer(post.post_id, post.author_id)
        readers = [reader_id(reader) for reader in chosen]
        rows += await patiently(partial(system.stores.timelines.push, [pointer], readers))
    return rows


def cassandra_home(bench: Bench) -> Path:
    """The directory of its data."""
    return _node(bench).home


def _node(bench: Bench) -> JarNode:
    node = bench.engines.cassandra
    if not isinstance(node, JarNode):
        raise TypeError("this section restarts a Cassandra of its own")
    return node


def restart(bench: Bench) -> None:
    """Stop Cassandra as an orchestrator does and start it with its data, so that its log goes into SSTables."""
    node = _node(bench)
    if node.process is not None:
        os.kill(node.process.pid, signal.SIGTERM)
        node.process.wait(timeout=120)
    node.launch()
    node.wait()


def sstable_bytes(home: Path, keyspace: str, table: str) -> dict[str, int]:
    """File → bytes, of the table's live SSTables."""
    tables = (home / "data" / "cassandra" / "data" / keyspace).glob(f"{table}-*")
    return {
        file.name: file.stat().st_size
        for folder in tables
        for file in folder.iterdir()
        if file.is_file() and "-" in file.name
    }
