"""Authors cross the threshold back and forth while posts are fanned out: at quiescence every feed is the oracle's.

Batches are cut anywhere, records come again, and workers die between any two writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.events import GRAPH, PROJECTED_TOPICS, AuthorModeChanged, Event, UserLeft, from_ms
from fanfold.core.ports.no_shared_cache import NoSharedCache
from tests.support.crashes import Killed, Life
from tests.support.examples import examples
from tests.support.fanout import (
    SMALL,
    TOPICS,
    Pipeline,
    a_follow,
    a_pipeline,
    a_post,
    an_unfollow,
)
from tests.support.feed import Reader
from tests.support.oracle import Oracle

STARS = ("alice", "zoe")
READERS = ("bob", "carl", "dave", "erin")
"""With a threshold of 3 and 80 % of it for the way back, four readers cross it both ways all the time."""


@dataclass(frozen=True)
class Cut:
    """One batch: of which topic, how long, what of it comes again, and after how many writes the worker dies."""

    topic: str
    limit: int
    redelivers: int
    writes: int | None


@dataclass(frozen=True)
class Episode:
    """Events, so many ms apart, and how the worker takes them, up to quiescence."""

    happens: Sequence[tuple[str, str, str]]
    apart_ms: int
    cuts: Sequence[Cut]


happenings = st.tuples(
    st.sampled_from(["follow", "follow", "unfollow", "post", "post"]),
    st.sampled_from(READERS),
    st.sampled_from(STARS),
)
cuts = st.builds(
    Cut,
    topic=st.sampled_from(TOPICS),
    limit=st.integers(1, 8),
    redelivers=st.integers(0, 8),
    writes=st.none() | st.integers(0, 20),
)
episodes = st.builds(
    Episode,
    happens=st.lists(happenings, min_size=1, max_size=12),
    apart_ms=st.sampled_from([1, 20, 30_000]),
    cuts=st.lists(cuts, max_size=10),
)


def happened(kind: str, reader: str, star: str, now_ms: int) -> Event:
    match kind:
        case "follow":
            return a_follow(reader, star)
        case "unfollow":
            return an_unfollow(reader, star)
        case "leave":
            return UserLeft(user_id=star, left_at=from_ms(now_ms))
        case _:
            return a_post(by=star, ms=now_ms)


async def take(pipeline: Pipeline, cuts: Sequence[Cut]) -> None:
    worker = pipeline.worker()
    for cut in cuts:
        try:
            if cut.writes is None:
                await pipeline.step(worker, cut.topic, limit=cut.limit, redelivers=cut.redelivers)
            else:
                mortal = pipeline.worker(Life(cut.writes))
                await pipeline.step(mortal, cut.topic, limit=cut.limit)
        except Killed:
            worker = pipeline.worker()
    await pipeline.drain(worker)


async def every_feed_is_the_oracles(pipeline: Pipeline) -> None:
    rows = await pipeline.log.rows(PROJECTED_TOPICS, after=0, limit=100_000)
    oracle = Oracle().fold(
        (r.topic, r.partition, r.offset, r.headers["ce_type"].decode(), r.value or b"")
        for r in (row.record for row in rows)
    )
    counts = oracle.follower_counts()
    world: Any = SimpleNamespace(
        settings=pipeline.settings,
        clock=pipeline.clock,
        stores=pipeline.stores,
        subscribers=[],
        cache=NoSharedCache(),
    )
    reader = Reader(world)
    try:
        for viewer in {*READERS, *STARS} - oracle.left:  # HTTP answers users who left with 404
            shown = [str(item.post_id) for item in await reader.whole(viewer)]
            since_ms = pipeline.clock.now_ms() - pipeline.settings.retention_ms
            assert shown == [post[0] for post in oracle.feed(viewer, since_ms=since_ms)]
    finally:
        await reader.reads.close()
    for star in STARS:
        assert (await pipeline.user(star)).follower_count == counts[star]


async def crossings_alternate(pipeline: Pipeline) -> None:
    """Each crossing is there once by its id, and the last one has the delivery of the row."""
    rows = await pipeline.log.rows([GRAPH], after=0, limit=100_000)
    announced: dict[str, AuthorModeChanged] = {}
    for row in rows:
        if isinstance(event := row.record.event(), AuthorModeChanged):
            assert announced.setdefault(row.record.headers["ce_id"].decode(), event) == event
    for star in STARS:
        deliveries = [event.delivery for event in announced.values() if event.author_id == star]
        assert deliveries == [("pull", "push")[n % 2] for n in range(len(deliveries))]
        assert (await pipeline.user(star)).delivery == (deliveries[-1] if deliveries else "push")


@examples(100)
@given(st.lists(episodes, min_size=1, max_size=4), st.sampled_from([0, 1, 60]))
async def test_every_feed_is_the_oracles_whichever_way_authors_cross(
    story: Sequence[Episode], overlap_s: int
) -> None:
    async with a_pipeline(SMALL.model_copy(update={"overlap_s": overlap_s})) as pipeline:
        for episode in story:
            for kind, reader, star in episode.happens:
                pipeline.clock.advance(episode.apart_ms / 1000)
                await pipeline.append(happened(kind, reader, star, pipeline.clock.now_ms()))
            await take(pipeline, episode.cuts)
            await every_feed_is_the_oracles(pipeline)
        await crossings_alternate(pipeline)


@examples(50)
@given(episodes, episodes, st.sampled_from(STARS))
async def test_an_author_who_leaves_meanwhile_is_in_no_feed(
    before: Episode, after: Episode, star: str
) -> None:
    """Follows of the author at that moment and later come to nothing."""
    async with a_pipeline() as pipeline:
        story = [*before.happens, ("leave", "", star), *after.happens]
        for kind, reader, author in story:
            pipeline.clock.advance(before.apart_ms / 1000)
            await pipeline.append(happened(kind, reader, author, pipeline.clock.now_ms()))
        await take(pipeline, [*before.cuts, *after.cuts])
        await every_feed_is_the_oracles(pipeline)
        assert (await pipeline.user(star)).follower_count == 0
        assert await pipeline.followers(star) == []
