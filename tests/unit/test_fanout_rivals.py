"""Two workers on one partition, and writes that land late: what a rebalance and a timeout can leave behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from fanfold.core.errors import Unavailable
from fanfold.core.events import COMMANDS, GRAPH, POSTS
from fanfold.core.ports import Audience, FollowerEdge, User
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanout_service.worker import Worker
from tests.support.fanout import Pipeline, a_follow, a_pipeline, a_post, an_unfollow
from tests.support.feed import Graph
from tests.support.stores import write_edges

ONE_BUCKET = Settings(bucket_followers=1000)


class GraphInSteps:
    """A graph store whose callers stop at named places until they are let go."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self.reached: dict[str, asyncio.Event] = {}
        self.go_on: dict[str, asyncio.Event] = {}

    def stop_at(self, place: str) -> None:
        self.reached[place], self.go_on[place] = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._graph, name)

    async def get(self, user_id: str) -> User:
        user: User = await self._graph.get(user_id)
        await self._pause("after the row")
        return user

    async def write_followers(self, followee_id: str, edges: list[FollowerEdge]) -> None:
        await self._graph.write_followers(followee_id, edges[:1])
        await self._pause("between two edges")
        await self._graph.write_followers(followee_id, edges[1:])

    async def _pause(self, place: str) -> None:
        if place in self.reached and not self.go_on[place].is_set():
            self.reached[place].set()
            await self.go_on[place].wait()


def a_worker(pipeline: Pipeline, graph: GraphInSteps) -> Worker:
    stores = replace(pipeline.stores, users=graph, follows=graph, ties=graph)  # type: ignore[arg-type]
    return Worker(pipeline.settings, log=pipeline.log, stores=stores, clock=pipeline.clock)


async def graph_records(pipeline: Pipeline, *, after: int = 0) -> list[Record]:
    return [row.record for row in await pipeline.log.rows([GRAPH], after=after, limit=100)]


async def test_a_count_is_exact_when_a_replaced_worker_wakes_between_its_two_reads() -> None:
    async with a_pipeline(ONE_BUCKET) as pipeline:
        await pipeline.append(a_follow("f1"), a_follow("f2"))
        records = await graph_records(pipeline)
        stale = GraphInSteps(Graph(pipeline.stores))
        stale.stop_at("after the row")
        zombie = asyncio.ensure_future(a_worker(pipeline, stale).handlers()[GRAPH](records))
        await stale.reached["after the row"].wait()
        successor = pipeline.worker().handlers()[GRAPH]
        await successor(records[:1])
        stale.go_on["after the row"].set()
        await zombie
        await successor(records[1:])
        assert (await pipeline.user("alice")).follower_count == 2


async def test_a_count_is_exact_when_a_replaced_worker_reads_half_of_its_successors_edges() -> None:
    async with a_pipeline(ONE_BUCKET) as pipeline:
        await pipeline.handle(*[a_follow(f"f{n}") for n in range(5)])
        before = pipeline.acknowledged[GRAPH]
        await pipeline.append(an_unfollow("f0"), an_unfollow("f1"))
        records = await graph_records(pipeline, after=before)
        stale, writing = GraphInSteps(Graph(pipeline.stores)), GraphInSteps(Graph(pipeline.stores))
        stale.stop_at("after the row")
        writing.stop_at("between two edges")
        zombie = asyncio.ensure_future(a_worker(pipeline, stale).handlers()[GRAPH](records))
        await stale.reached["after the row"].wait()
        successor = asyncio.ensure_future(a_worker(pipeline, writing).handlers()[GRAPH](records))
        await writing.reached["between two edges"].wait()
        stale.go_on["after the row"].set()
        await zombie
        writing.go_on["between two edges"].set()
        await successor
        assert (await pipeline.user("alice")).follower_count == 3
        assert await pipeline.followers("alice") == ["f2", "f3", "f4"]


async def test_a_small_post_does_not_queue_behind_the_slices_of_a_large_one() -> None:
    settings = Settings(bucket_followers=2, slices_in_flight=2)
    async with a_pipeline(settings) as pipeline:
        await pipeline.handle(*[a_follow(f"f{n}", "large") for n in range(30)])
        await pipeline.handle(a_follow("f0", "small"))
        waiting, stuck = asyncio.Semaphore(0), asyncio.Event()

        class LargeIsSlow(GraphInSteps):
            async def audience(
                self, followee_id: str, bucket: Any, *, expected: int | None = None
            ) -> Audience:
                if followee_id == "large":
                    waiting.release()
                    await stuck.wait()
                audience: Audience = await self._graph.audience(followee_id, bucket)
                return audience

        worker = a_worker(pipeline, LargeIsSlow(Graph(pipeline.stores))).handlers()
        large, small = a_post(by="large"), a_post(by="small")
        await pipeline.append(large, small)
        rows = await pipeline.log.rows([POSTS], after=0, limit=10)
        await worker[POSTS]([row.record for row in rows[:1]])
        commands = await pipeline.log.rows([COMMANDS], after=0, limit=100)
        assert len(commands) > settings.slices_in_flight
        slices = asyncio.ensure_future(worker[COMMANDS]([row.record for row in commands]))
        for _ in range(settings.slices_in_flight):
            await waiting.acquire()
        async with asyncio.timeout(5):
            await worker[POSTS]([row.record for row in rows[1:]])
        assert not slices.done()
        stuck.set()
        await slices


async def test_edges_that_are_written_after_their_timeout_are_stored_once() -> None:
    async with a_pipeline(Settings(bucket_followers=2)) as pipeline:
        late: list[tuple[str, list[FollowerEdge]]] = []

        class TimesOutOnce(GraphInSteps):
            async def write_followers(self, followee_id: str, edges: list[FollowerEdge]) -> None:
                if not late:
                    late.append((followee_id, edges))
                    raise Unavailable("timed out, and the server goes on")
                await self._graph.write_followers(followee_id, edges)

        await pipeline.append(*[a_follow(f"f{n}") for n in range(3)])
        await pipeline.drain(a_worker(pipeline, TimesOutOnce(Graph(pipeline.stores))))
        await write_edges(pipeline.stores, *late[0])
        assert await pipeline.followers("alice") == ["f0", "f1", "f2"]
        post = a_post()
        await pipeline.handle(post)
        done = await pipeline.stores.jobs.slices_done(post.post_id)
        assert sum(slice_done.delivered for slice_done in done.values()) == 3
