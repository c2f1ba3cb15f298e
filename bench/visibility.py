"""(c) The time from the start of POST /posts until the feeds of the first and the last follower show the post."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import httpx2
import orjson

from bench.crowd import reader_id, seed_author
from bench.fan_outs import WrongResult, finished
from bench.figures import percentile
from bench.http_load import Connection, connections
from bench.report import Section
from bench.stack import Bench, System, running
from fanfold.core.buckets import follower_bucket, generation_for
from fanfold.core.ports import FollowerEdge

POLL_S = 0.005
FULL = {1: 60, 1_000: 30, 10_000: 12, 90_000: 4}
QUICK = {1: 10, 1_000: 5, 10_000: 2}
"""Followers → posts in a round."""
_SERVICES = ("post_service", "fanout_service", "feed_service")

Samples = dict[tuple[int, str], list[float]]


async def visibility(bench: Bench) -> Section:
    sizes: dict[int, int] = bench.pick(FULL, QUICK)
    settings = await bench.new_system()
    found: Samples = defaultdict(list)
    async with running(bench, settings, *_SERVICES) as system:
        for followers in sizes:
            bench.say(f"seeding an author of {followers:,} followers")
            readers = [reader_id(number) for number in range(followers)]
            await seed_author(system.stores, _author(followers), readers, settings)
        feed = system.services["feed_service"].url
        async with (
            connections(feed, 2) as pool,
            httpx2.AsyncClient(base_url=system.services["post_service"].url) as posting,
        ):
            watch = Watch(system, posting, pool)
            bench.say("warming up")
            for followers, posts in sizes.items():
                for _ in range(posts):
                    await watch.one(followers, defaultdict(list))
            for number in range(bench.rounds):
                for followers, posts in sizes.items():
                    bench.say(f"round {number + 1} of {bench.rounds}: {followers:,} followers")
                    for _ in range(posts):
                        await watch.one(followers, found)
    return _section(found, list(sizes))


def _author(followers: int) -> str:
    return f"author-{followers}"


class Watch:
    """Publishes a post, and polls two feeds until both show it."""

    def __init__(self, system: System, posting: httpx2.AsyncClient, pool: list[Connection]) -> None:
        self._system = system
        self._posting = posting
        self._first, self._last = pool

    async def one(self, followers: int, into: Samples) -> None:
        started = time.perf_counter()
        sent = asyncio.create_task(self._post(followers))
        # The first slice begins with the lowest id of the oldest bucket.
        first = asyncio.create_task(self._seen(self._first, reader_id(0), sent))
        post_id = await sent
        into[followers, "accepted"].append((time.perf_counter() - started) * 1000)
        last = asyncio.create_task(self._last_seen(followers, post_id, sent))
        into[followers, "first"].append((await first - started) * 1000)
        into[followers, "last"].append((await last - started) * 1000)

    async def _post(self, followers: int) -> str:
        answer = await self._posting.post(
            "/posts",
            json={"content": "When will you see this?"},
            headers={"X-User-Id": _author(followers)},
        )
        if answer.status_code != 201:
            raise WrongResult(f"POST /posts answered {answer.status_code}: {answer.text}")
        post_id: str = answer.json()["post_id"]
        return post_id

    async def _seen(self, by: Connection, reader: str, sent: asyncio.Task[str]) -> float:
        """When a feed showed the post."""
        while True:
            body = await by.get(f"/users/{reader}/feed?ranking=chronological&limit=1", reader)
            now, items = time.perf_counter(), orjson.loads(body)["items"]
            if sent.done() and items and items[0]["post_id"] == sent.result():
                if items[0]["source"] != "push":
                    raise WrongResult("it was pulled: this would not be the fan-out's time")
                return now
            await asyncio.sleep(POLL_S)

    async def _last_seen(self, followers: int, post_id: str, sent: asyncio.Task[str]) -> float:
        """When all slices are finished, the last row of the last slice is the last row of all: poll that follower's feed."""
        from uuid import UUID

        jobs = self._system.stores.jobs
        done = await finished(jobs, UUID(post_id), poll_s=POLL_S)
        if sum(slice_done.delivered for slice_done in done) != followers:
            raise WrongResult(f"{post_id} did not reach its {followers:,} followers")
        slices = await jobs.slices_done(UUID(post_id))
        bucket = max(slices, key=lambda bucket: slices[bucket].finished_at_ms)
        edges: list[FollowerEdge] = await self._system.stores.follows.followers(
            _author(followers), bucket
        )
        reader = edges[-1].follower_id if edges else self._in_newest(followers)
        return await self._seen(self._last, reader, sent)

    def _in_newest(self, followers: int) -> str:
        """The last slice may be an empty bucket. All slices are finished then, so any follower will do."""
        newest = generation_for(followers, self._system.settings.bucket_followers)
        return max(
            (reader_id(number) for number in range(followers)),
            key=lambda reader: follower_bucket(reader, newest),
        )


def _section(found: Samples, sizes: list[int]) -> Section:
    section = Section("c", "Post to visible: from sending POST /posts to a feed that shows it, ms")
    for followers in sizes:
        count = len(found[followers, "last"])
        section.rows.append(
            {
                "what": f"{followers:,} followers, {count} posts",
                **{
                    f"{who} {name}": percentile(found[followers, who], share)
                    for who in ("accepted", "first", "last")
                    for name, share in (("p50", 0.5), ("p99", 0.99))
                },
            }
        )
    section.notes = [
        f"Feeds are polled over HTTP every {POLL_S * 1000:.0f} ms; one post at a time, and nothing else in the system.",
        "The last follower is the last of the slice that finished last; their feed is read once every slice is recorded as done.",
        "With fewer than 100 posts the p99 is the worst of them. Samples of all rounds together.",
    ]
    return section
