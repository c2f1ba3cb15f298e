"""Sleep, awakenings, follows and posts that race, their steps interleaved in every order that hypothesis thinks of."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.events import ACTIVITY, COMMANDS, GRAPH, POSTS, Event
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanout_service.worker import Worker
from tests.support.clock import START_MS
from tests.support.crashes import Turns, turned
from tests.support.examples import examples
from tests.support.fanout import (
    SMALL,
    Pipeline,
    a_follow,
    a_pipeline,
    a_post,
    a_record,
    an_unfollow,
)
from tests.support.sleeping import a_sleep, an_awakening, found_by

PUSHED = SMALL.model_copy(update={"pull_threshold": 1000})
ZOMBIE, READER = "zombie", "reader"
AUTHORS, READERS = ("alice", "zoe"), ("bob", "carl", "dave", "erin")


def records(events: Sequence[Event], *, offset: int) -> list[Record]:
    return [
        a_record(event, offset=offset + n, appended_at_ms=START_MS)
        for n, event in enumerate(events)
    ]


@dataclass(frozen=True)
class Story:
    """What happened before the race, and what races."""

    before: list[tuple[bool, str, str]]
    slept: list[tuple[bool, str]]
    during: list[tuple[bool, str, str]]
    naps: list[tuple[bool, str]]
    posts: list[str]
    again: int


class Race:
    """Workers whose store calls take turns, and the commands that they queue, taken as they come."""

    def __init__(self, pipeline: Pipeline, order: Iterator[str], actors: set[str]) -> None:
        self.pipeline = pipeline
        # Then in turn, because the actor that takes up commands never ends before the others.
        endless = chain(order, cycle(sorted({*actors, COMMANDS})))
        self.turns = Turns(endless, {*actors, COMMANDS})
        self.stores = turned(pipeline.stores, self.turns)
        self._worker = Worker(
            pipeline.settings, log=pipeline.log, stores=self.stores, clock=pipeline.clock
        )

    async def handle(self, topic: str, batches: Sequence[Sequence[Record]]) -> None:
        for batch in batches:
            await self._worker.handlers()[topic](batch)

    async def commands(self) -> None:
        while len(self.turns.actors) > 1:
            if not await self.pipeline.step(self._worker, COMMANDS, limit=3):
                await self.turns.turn()

    async def run(self, **work: Iterator[object] | object) -> None:
        """Run each actor's work, and then what is still queued."""
        actors = {**work, COMMANDS: self.commands()}
        await asyncio.gather(
            *(asyncio.create_task(self.turns.run(name, actor)) for name, actor in actors.items())  # type: ignore[arg-type]
        )
        await self.pipeline.drain()


def one_by_one(batch: Sequence[Record]) -> list[list[Record]]:
    return [[record] for record in batch]


def bursts(seed: int) -> Iterator[str]:
    """A post, an awakening and its steps, a few calls at a time each. Else one would rarely overtake another as a whole."""
    rng = random.Random(seed)
    for _ in range(20):
        yield from [rng.choice([POSTS, ACTIVITY, COMMANDS])] * rng.randint(1, 6)


@pytest.mark.slow
async def test_a_post_that_races_with_an_awakening_is_delivered_or_copied() -> None:
    tried: set[tuple[str, ...]] = set()
    async with a_pipeline(PUSHED) as pipeline:
        for n in range(400):
            author, reader = f"author-{n}", f"reader-{n}"
            await pipeline.worker().handlers()[GRAPH](records([a_follow(reader, author)], offset=n))
            await pipeline.worker().handlers()[ACTIVITY](records([a_sleep(reader)], offset=0))
            post = a_post(by=author)
            race = Race(pipeline, bursts(n), {POSTS, ACTIVITY})
            await race.run(
                **{
                    POSTS: race.handle(POSTS, [records([post], offset=n)]),
                    ACTIVITY: race.handle(ACTIVITY, [records([an_awakening(reader)], offset=1)]),
                }
            )
            tried.add(tuple(race.turns.taken))
            assert not (await pipeline.user(reader)).asleep
            assert await pipeline.timeline(reader) == [post.post_id], race.turns.taken
    assert len(tried) > 300


edges = st.tuples(st.booleans(), st.sampled_from(READERS), st.sampled_from(AUTHORS))
follows = st.lists(edges, max_size=8)
naps = st.lists(st.tuples(st.booleans(), st.sampled_from(READERS[:2])), min_size=1, max_size=6)


def in_bursts(actors: list[str]) -> st.SearchStrategy[list[str]]:
    """An order in which actors take several turns at a time."""
    runs = st.tuples(st.sampled_from(actors), st.integers(1, 8))
    return st.lists(runs, max_size=25).map(
        lambda all_: [a for a, times in all_ for _ in range(times)]
    )


def graph_events(changes: Sequence[tuple[bool, str, str]]) -> list[Event]:
    return [a_follow(r, a) if on else an_unfollow(r, a) for on, r, a in changes]


def activity_events(changes: Sequence[tuple[bool, str]]) -> list[Event]:
    return [a_sleep(name) if falls else an_awakening(name) for falls, name in changes]


stories = st.builds(
    Story,
    before=follows,
    slept=naps,
    during=follows,
    naps=naps,
    posts=st.lists(st.sampled_from(AUTHORS), min_size=1, max_size=3),
    again=st.integers(0, 4),
)


@examples(100)
@given(
    story=stories,
    order=in_bursts([POSTS, GRAPH, ACTIVITY, COMMANDS, ZOMBIE]),
    rules=st.sampled_from([PUSHED, PUSHED, SMALL]),
)
async def test_no_post_is_lost_whatever_sleep_awakenings_follows_and_posts_race(
    story: Story, order: list[str], rules: Settings
) -> None:
    async with a_pipeline(rules) as pipeline:
        early = [a_post(by=author, ms=START_MS - 9) for author in AUTHORS]
        await pipeline.worker().handlers()[POSTS](records(early, offset=0))
        await pipeline.worker().handlers()[GRAPH](records(graph_events(story.before), offset=0))
        await pipeline.worker().handlers()[ACTIVITY](
            records(activity_events(story.slept), offset=0)
        )
        late = [a_post(by=author, ms=START_MS + n) for n, author in enumerate(story.posts)]
        active = records(activity_events(story.slept + story.naps), offset=0)
        race = Race(pipeline, iter(order), {POSTS, GRAPH, ACTIVITY, ZOMBIE})
        await race.run(
            **{
                POSTS: race.handle(POSTS, one_by_one(records(late, offset=len(early)))),
                GRAPH: race.handle(
                    GRAPH, [records(graph_events(story.during), offset=len(story.before))]
                ),
                ACTIVITY: race.handle(ACTIVITY, one_by_one(active[len(story.slept) :])),
                # A worker that has lost its partition, and doesn't know it yet.
                ZOMBIE: race.handle(ACTIVITY, one_by_one(active[: len(story.slept) + story.again])),
            }
        )
        following = {(r, a): on for on, r, a in story.before + story.during}
        sleeping = {name: falls for falls, name in story.slept + story.naps}
        for reader in READERS:
            followed = {a for (r, a), on in following.items() if r == reader and on}
            expected = {post.post_id for post in (*early, *late) if post.author_id in followed}
            assert await found_by(pipeline.stores, reader) == expected
            user = await pipeline.user(reader)
            assert user.asleep == sleeping.get(reader, False)
            assert user.follower_count == 0


@examples(100)
@given(
    naps=st.lists(st.booleans(), min_size=1, max_size=6),
    posts=st.lists(st.sampled_from(AUTHORS), min_size=1, max_size=4),
    order=in_bursts([POSTS, ACTIVITY, COMMANDS, READER]),
)
async def test_a_reader_finds_every_post_that_was_fanned_out_before_at_any_moment_of_a_sleep(
    naps: list[bool], posts: list[str], order: list[str]
) -> None:
    async with a_pipeline(PUSHED) as pipeline:
        graph = records([a_follow("bob", author) for author in AUTHORS], offset=0)
        await pipeline.worker().handlers()[GRAPH](graph)
        late = [a_post(by=author, ms=START_MS + n) for n, author in enumerate(posts)]
        active = records(activity_events([(falls, "bob") for falls in naps]), offset=0)
        race = Race(pipeline, iter(order), {POSTS, ACTIVITY, READER})
        fanned_out: set[UUID] = set()

        async def publish() -> None:
            for n, post in enumerate(late):
                await race.handle(POSTS, [records([post], offset=n)])
                fanned_out.add(post.post_id)

        async def read() -> None:
            while race.turns.actors > {READER, COMMANDS}:
                expected = set(fanned_out)
                assert await found_by(race.stores, "bob") >= expected

        await race.run(
            **{
                POSTS: publish(),
                ACTIVITY: race.handle(ACTIVITY, one_by_one(active)),
                READER: read(),
            }
        )
        assert await found_by(pipeline.stores, "bob") == fanned_out
