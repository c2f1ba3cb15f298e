"""Open live feeds, for section (h): readers whose streams listen, and when each post arrived there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from bench.crowd import await_each, new_post
from bench.fan_outs import WrongResult
from fanfold.core.ports import FollowerEdge, Pointer, Stores
from tests.support.stores import write_edges

AUTHORS = 2_000
FOLLOWS = 20
_AT_ONCE = 16
_RETRY_S = 0.5


def viewer_id(number: int) -> str:
    return f"viewer-{number:07}"


def author_id(number: int) -> str:
    return f"author-{number % AUTHORS:07}"


def followees(number: int) -> list[str]:
    """The authors that the viewer with this number follows."""
    return [author_id(number * 7 + step * 11) for step in range(FOLLOWS)]


async def write_world(stores: Stores, viewers: int) -> None:
    """Each author has one post, which is in the timelines of those of the viewers who follow the author."""
    followers: dict[str, list[str]] = {author_id(number): [] for number in range(AUTHORS)}
    for number in range(viewers):
        for author in followees(number):
            followers[author].append(viewer_id(number))
    now_ms = time.time_ns() // 1_000_000

    async def write(author: str, age_ms: int) -> None:
        post = new_post(author, now_ms=now_ms - age_ms)
        await stores.users.register(author, f"Author {author}", registered_at_ms=0, offset=0)
        edges = [FollowerEdge(viewer, 0, True, 1, 0, 0) for viewer in followers[author]]
        await write_edges(stores, author, edges)
        await stores.follows.mark_materialised(author, [(v, 0) for v in followers[author]])
        await stores.posts.create(post.post_id, author, post.content)
        await stores.timelines.push([Pointer(post.post_id, author)], followers[author])

    await await_each(write(author, 60_000 + 977 * n) for n, author in enumerate(followers))


class Stream:
    """One client. `shown_at_s`: when each post arrived, by its id."""

    def __init__(self, viewer: str) -> None:
        self.viewer = viewer
        self.shown_at_s: dict[UUID, float] = {}
        self.arrived = asyncio.Event()
        self.level = asyncio.Event()

    async def listen(self, url: str) -> None:
        """Until it is cancelled. Raises `WrongResult` if the stream ends before."""
        # A process that has too much to do refuses some of many that come together.
        while True:
            if await self._follow(url):
                raise WrongResult(f"the live feed of {self.viewer} has ended")
            await asyncio.sleep(_RETRY_S)

    async def _follow(self, url: str) -> bool:
        """Until the stream ends; false at once if it is refused."""
        where = urlsplit(url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            path = f"/users/{self.viewer}/feed/stream"
            head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-User-Id: {self.viewer}\r\n\r\n"
            writer.write(head.encode())
            status = await reader.readline()
            if status.startswith(b"HTTP/1.1 503"):
                return False
            if not status.startswith(b"HTTP/1.1 200"):
                raise WrongResult(f"the live feed of {self.viewer}: {status.decode()}")
            while line := await reader.readline():
                self._take(line)
        finally:
            writer.close()
        return True

    def _take(self, line: bytes) -> None:
        if line.startswith(b'data: {"post_id"'):
            post_id = UUID(orjson.loads(line.removeprefix(b"data: "))["post_id"])
            self.shown_at_s.setdefault(post_id, time.monotonic())
            self.arrived.set()
        elif line.startswith(b"event: level"):
            self.level.set()


@asynccontextmanager
async def open_streams(url: str, count: int) -> AsyncIterator[Sequence[Stream]]:
    """So many live feeds, each level with its feed, until the block ends."""
    streams = [Stream(viewer_id(number)) for number in range(count)]
    async with asyncio.TaskGroup() as tasks:
        listening = []
        for start in range(0, count, _AT_ONCE):
            some = streams[start : start + _AT_ONCE]
            listening += [tasks.create_task(stream.listen(url)) for stream in some]
            async with asyncio.timeout(60):
                await asyncio.gather(*(stream.level.wait() for stream in some))
        for stream in streams:
            if len(stream.shown_at_s) != FOLLOWS:
                raise WrongResult(f"the live feed of {stream.viewer} is not what was written")
        yield streams
        for task in listening:
            task.cancel()


async def arrival_s(stream: Stream, stores: Stores, number: int) -> float:
    """Publish a post of an author in this viewer's feed, as the worker does; the seconds from its delivery until it arrives."""
    post = new_post(followees(number)[0], now_ms=time.time_ns() // 1_000_000)
    await stores.posts.create(post.post_id, post.author_id, post.content)
    await stores.timelines.push([Pointer(post.post_id, post.author_id)], [stream.viewer])
    delivered_at_s = time.monotonic()
    async with asyncio.timeout(10):
        while post.post_id not in stream.shown_at_s:
            stream.arrived.clear()
            await stream.arrived.wait()
    return stream.shown_at_s[post.post_id] - delivered_at_s
