"""A busy little network: many users at once, everything that can happen, then everything shown against the oracle."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from fanfold.core.events import Event, UserFollowed, UserRegistered
from tests.support.api_calls import call, complete_page, whole_feed
from tests.support.comparison import Comparison, Outcome, shown_by
from tests.support.eventually import eventually
from tests.support.live_client import LiveClient
from tests.support.oracle import Oracle
from tests.support.power_law import follower_graph
from tests.support.stacks import Stack
from tests.support.storm import Action, Cast, Storm

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Load:
    """How much happens: in the storm each of these many times, by so many clients at once."""

    users: int = 2000
    mean_followers: float = 8
    """16,000 follows. More cost only time: the largest audience and the star's are the same, and 20 authors are pulled."""
    earlier_posts: int = 60
    missed_posts: int = 40
    posts: int = 100
    edits: int = 40
    deletes: int = 30
    follows: int = 80
    unfollows: int = 60
    mutes: int = 40
    unmutes: int = 20
    blocks: int = 30
    unblocks: int = 15
    likes: int = 160
    unlikes: int = 50
    renames: int = 20
    dozes: int = 8
    reads: int = 40
    leavers: int = 8
    sleepers: int = 30
    absent: int = 30
    last_posts: int = 6
    clients: int = 8
    seed: int = 20_261_121


@dataclass
class Run:
    """What happened, and what was wrong."""

    compared: Outcome
    looks: Counter[str]
    oracle: Oracle
    star: str
    reconnected: int = 0
    wrong: list[str] = field(default_factory=list)


async def loaded_run(stack: Stack, load: Load) -> Run:
    """Build the graph, put some to sleep, let everything happen at once, wait for quiescence, compare everything."""
    rng = random.Random(load.seed)
    user_ids = [f"user-{number:04}" for number in range(load.users)]
    graph = follower_graph(
        user_ids, mean_followers=load.mean_followers, largest_share=0.3, seed=load.seed
    )
    cast = a_cast(graph, stack, load, rng)
    history = iter(graph_events(graph, long_ago={*cast.sleepers, *cast.absent}))
    # In portions: one append is one acknowledgement, and has a request's timeout.
    while portion := list(islice(history, 1_000)):
        await stack.log.append_many(portion)
    await stack.quiet()
    logger.info("the graph is there")
    storm = Storm(stack, cast, graph, rng)
    await storm.by_clients([storm.post] * load.earlier_posts, load.clients)
    await stack.sweep()
    await stack.quiet()
    assert (await fold(stack)).asleep == {*cast.sleepers, *cast.absent}, "the sweep finds them"
    logger.info("those who have not been seen sleep")
    await storm.by_clients([storm.post] * load.missed_posts, load.clients)
    await stack.quiet()
    await _seen(stack, cast.readers)
    storm.settled = {post.post_id for post in storm.posts}
    # One who is awake, one who acts, one who sleeps.
    watchers = [cast.readers[0], cast.actors[0], cast.sleepers[0]]
    async with live_clients(stack, watchers) as clients:
        await _storm(storm, load, clients)
        logger.info("the storm is over: %s", dict(storm.looks))
        await stack.quiet()
        logger.info("all is handled")
        await _deliveries(storm, load)
        await stack.quiet()
        oracle = await fold(stack)
        storm.judge_reads(oracle)
        for client in clients:
            await _ends_equal(stack, client)
    logger.info("live feeds are equal; pages that were not whole: %s", dict(stack.api.incomplete))
    acknowledged = {post.post_id for post in storm.posts}
    assert acknowledged == oracle.posts.keys(), (
        "nothing acknowledged is lost, nothing else is there"
    )
    compared = await Comparison(stack.api, oracle).run(user_ids)
    reconnected = sum(client.connections - 1 for client in clients)
    wrong = storm.wrong + compared.wrong
    return Run(compared, storm.looks, oracle, cast.star, reconnected, wrong)


def a_cast(graph: dict[str, list[str]], stack: Stack, load: Load, rng: random.Random) -> Cast:
    """Users who only read follow some users, and few users follow them.

    The star begins below the share of the threshold at which authors return to push.
    """
    below = stack.settings.pull_threshold * stack.settings.pull_hysteresis - 2
    star = max((n for n, f in graph.items() if len(f) < below), key=lambda name: len(graph[name]))
    follows = Counter(follower for followers in graph.values() for follower in followers)
    quiet = [n for n, f in graph.items() if len(f) < 10 and follows[n] > 8 and n != star]
    passive = iter(rng.sample(quiet, 20 + load.sleepers + load.absent))
    readers, sleepers = list(islice(passive, 20)), list(islice(passive, load.sleepers))
    absent = list(passive)
    others = {*readers, *sleepers, *absent, star}
    acting = [name for name in graph if name not in others]
    fans_of_the_star = set(graph[star])
    leavers = rng.sample(
        [n for n in acting if len(graph[n]) > 15 and n not in fans_of_the_star], load.leavers
    )
    actors = [name for name in acting if name not in leavers]
    fans = [name for name in actors if name not in fans_of_the_star]
    return Cast(actors, leavers, readers, sleepers, absent, star, rng.sample(fans, 100))


def graph_events(graph: dict[str, list[str]], *, long_ago: set[str]) -> list[Event]:
    """Everybody registers, then follows; some did so long ago, and have not been seen since."""
    at = datetime.now(UTC)
    then = at - timedelta(days=100)
    registered: list[Event] = [
        UserRegistered(user_id=user_id, display_name=user_id.title(), registered_at=at)
        for user_id in graph
    ]
    return registered + [
        UserFollowed(
            follower_id=follower,
            followee_id=followee,
            followed_at=then if follower in long_ago else at,
        )
        for followee, followers in graph.items()
        for follower in followers
    ]


async def fold(stack: Stack) -> Oracle:
    """The oracle of all that the log holds now."""
    oracle = Oracle(stack.settings.pull_threshold, stack.settings.pull_hysteresis)
    return oracle.fold(await stack.raw_records())


async def _seen(stack: Stack, readers: Sequence[str]) -> None:
    """Return when all awake readers see everything: they learn of a new celebrity within a second."""
    oracle = await fold(stack)

    async def seen() -> bool:
        feeds = [await whole_feed(stack.api, reader) for reader in readers]
        held = [oracle.feed(reader) for reader in readers]
        return [[shown_by(item) for item in feed] for feed in feeds] == held

    await eventually(seen, within_s=30, what="readers see what was posted before the storm")


async def _storm(storm: Storm, load: Load, clients: list[LiveClient]) -> None:
    """Everything in one shuffled order by several clients at once, with a star who swings beside it."""
    actions: list[Action] = [
        *[storm.post] * load.posts,
        *[storm.edit] * load.edits,
        *[storm.delete] * load.deletes,
        *[storm.follow] * load.follows,
        *[storm.unfollow] * load.unfollows,
        *[storm.mute] * load.mutes,
        *[storm.unmute] * load.unmutes,
        *[storm.block] * load.blocks,
        *[storm.unblock] * load.unblocks,
        *[storm.like] * (load.likes // 2),
        *[_liking(storm, n) for n in range(load.likes // 2)],
        *[storm.unlike] * load.unlikes,
        *[storm.rename] * load.renames,
        *[storm.doze] * load.dozes,
        *[storm.read] * load.reads,
        *[_leaving(storm, leaver) for leaver in storm.cast.leavers],
        *[_returning(storm, sleeper) for sleeper in storm.cast.sleepers],
    ]
    storm.rng.shuffle(actions)
    actions[len(actions) // 2 : len(actions) // 2] = [_cutting(client) for client in clients]
    settings = storm.stack.settings
    async with asyncio.TaskGroup() as group:
        group.create_task(storm.by_clients(actions, load.clients))
        group.create_task(
            storm.swing(settings.pull_threshold, settings.pull_hysteresis, load.clients // 2)
        )


def _liking(storm: Storm, number: int) -> Action:
    """Half of all likes go to three posts."""
    return lambda: storm.like(storm.posts[number % 3])


def _leaving(storm: Storm, leaver: str) -> Action:
    return lambda: storm.leave(leaver)


def _returning(storm: Storm, sleeper: str) -> Action:
    return lambda: storm.read(sleeper)


def _cutting(client: LiveClient) -> Action:
    async def cut() -> None:
        await client.cut()
        client.connect()

    return cut


async def _deliveries(storm: Storm, load: Load) -> None:
    """After the storm a post is delivered to all who are awake, those who came back among them, and to nobody else."""
    oracle = await fold(storm.stack)
    back = set(storm.cast.sleepers)
    authors = [
        author
        for author in storm.cast.actors
        if oracle.sides[author] == "push" and back & oracle.followers(author)
    ]
    for author in sorted(authors, key=lambda author: -len(oracle.followers(author)))[
        : load.last_posts
    ]:
        await storm.post(author)
        await storm.stack.quiet()
        path = f"/posts/{storm.posts[-1].post_id}/fanout"
        fanout = (await call(storm.stack.api, "GET", path, author)).json()
        followers = oracle.followers(author)
        expected = ("push", len(followers), len(followers - oracle.asleep))
        found = (fanout["strategy"], fanout["planned"], fanout["delivered"])
        if found != expected:
            storm.wrong.append(f"{author}: delivered {found} instead of {expected}")
        storm.looks["delivery"] += 1


@asynccontextmanager
async def live_clients(stack: Stack, user_ids: list[str]) -> AsyncIterator[list[LiveClient]]:
    """A live feed for each, gone afterwards."""
    clients = [LiveClient(stack.feed_url, user_id) for user_id in user_ids]
    for client in clients:
        client.connect()
    try:
        yield clients
    finally:
        for client in clients:
            await client.cut()


async def _ends_equal(stack: Stack, client: LiveClient) -> None:
    """What a live feed's client holds, likes and all, is what the feed says."""
    query = {"ranking": "chronological", "limit": 20}

    async def equal() -> bool:
        page = await complete_page(stack.api, client.user_id, query)
        shown: bool = client.items() == page["items"]
        return shown

    await eventually(equal, within_s=30, what=f"the live feed of {client.user_id}", every_s=0.5)
    assert client.levels > 1, "something happened to it"
