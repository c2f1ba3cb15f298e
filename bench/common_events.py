"""(i) What is common: likes, follows, posts to few, pulled posts, users who fall asleep and wake. One worker, event by event."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from bench.child import Child, child
from bench.crowd import answers_of, await_each, new_post, reader_id, seed_author
from bench.fan_outs import WrongResult, finished
from bench.figures import figure
from bench.processes import Costs, standing_still
from bench.report import Section
from bench.stack import Bench, System, running
from fanfold.core.events import (
    Event,
    PostCreated,
    PostLiked,
    UserFellAsleep,
    UserFollowed,
    UserRegistered,
    UserWoke,
    from_ms,
)
from fanfold.core.ids import new_post_id

E = TypeVar("E", bound=Event)

TAIL = 200
"""Among so many last events is the last one of each partition: when all of them show, so do all before."""
AUDIENCES = (20, 200)
_POLL_S = 0.02
_WITHIN_S = 300.0
_POSTS_EACH = 5


@dataclass(frozen=True, slots=True)
class Size:
    """How many events of each kind are one round."""

    likes: int = 6_000
    follows: int = 2_000
    posts: tuple[int, int] = (1_000, 400)
    pulled_posts: int = 400
    sleepers: int = 100
    followees: int = 200
    authors: int = 300
    authors_of_each_audience: int = 100


FULL = Size()
QUICK = Size(200, 100, (40, 20), 20, 2, 20, 50, 10)


class CommonEvents:
    """The people of all rounds, and what each round found."""

    def __init__(self, bench: Bench, system: System, size: Size, *, bare: Child | None) -> None:
        self._bench = bench
        self._system = system
        self._bare = bare
        self._size = size
        self._workers = {name: service.process.pid for name, service in system.services.items()}
        self._random = random.Random(1)  # noqa: S311 - names of no consequence
        self._authors = [f"author-{number:03}" for number in range(size.authors)]
        self._follows_of = {
            f"sleeper-{number:03}": self._random.sample(self._authors, size.followees)
            for number in range(size.sleepers)
        }
        self._followers: Counter[str] = Counter()
        self._number = 0
        self.found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(
            lambda: defaultdict(list)
        )

    async def seed(self) -> None:
        """Authors with posts, followed by the sleepers; authors with audiences of each size; a celebrity."""
        stores, settings = self._system.stores, self._system.settings
        # Follows start after each partition's first record: what is seeded has the offset 0.
        registered = from_ms(_now_ms())
        await self._system.log.append_many(
            [
                UserRegistered(user_id=name, display_name=name, registered_at=registered)
                for name in self._authors
            ]
        )
        audiences = {
            author: [name for name, follows in self._follows_of.items() if author in follows]
            for author in self._authors
        }
        self._followers.update({author: len(names) for author, names in audiences.items()})
        for audience in AUDIENCES:
            readers = [reader_id(number) for number in range(audience)]
            audiences |= dict.fromkeys(self._names(audience), readers)
        await await_each(
            seed_author(stores, author, followers, settings)
            for author, followers in audiences.items()
        )
        await seed_author(stores, "famous", [], settings, delivery="pull", count=200_000)
        posts = [_post(author) for author in self._authors for _ in range(_POSTS_EACH)]
        await self._system.log.append_many(posts)
        for post in posts[-TAIL:]:
            await finished(stores.jobs, post.post_id, poll_s=_POLL_S)

    async def measured(self) -> None:
        """Seed, warm up, and measure all rounds."""
        self._bench.say("seeding")
        await self.seed()
        for number in range(self._bench.rounds + 1):
            self._bench.say(f"round {number} of {self._bench.rounds}" if number else "warming up")
            await self.round()
            if not number:
                self.found.clear()

    async def round(self) -> None:
        """Each kind once, one after the other."""
        self._number += 1
        await self._likes()
        await self._follows()
        for audience, count in zip(AUDIENCES, self._size.posts, strict=True):
            await self._posts(audience, count)
        await self._pulled_posts()
        await self._sleepers()

    async def _likes(self) -> None:
        likes = [
            PostLiked(
                post_id=new_post_id(_now_ms()),
                author_id=self._random.choice(self._authors),
                user_id=f"user-{self._random.randrange(1_000_000):06}",
                liked_at=from_ms(_now_ms()),
            )
            for _ in range(self._size.likes)
        ]
        stores = self._system.stores

        async def shown(like: PostLiked) -> bool:
            return bool(await stores.likes.of_user(like.user_id, [like.post_id]))

        await self._measure("a like", likes, shown)

    async def _follows(self) -> None:
        follows = [
            UserFollowed(
                follower_id=f"follower-{self._number}-{number:05}",
                followee_id=self._random.choice(self._authors),
                followed_at=from_ms(_now_ms()),
            )
            for number in range(self._size.follows)
        ]
        stores = self._system.stores

        async def shown(follow: UserFollowed) -> bool:
            row = (await stores.follows.following(follow.follower_id)).get(follow.followee_id)
            return row is not None and row.materialised

        await self._measure("a follow", follows, shown)
        self._followers.update(follow.followee_id for follow in follows)
        users = await stores.users.get_many(self._authors)
        counts = {user_id: user.follower_count for user_id, user in users.items()}
        if counts != self._followers:
            raise WrongResult("the authors' counts differ from the number of their followers")

    async def _posts(self, audience: int, count: int) -> None:
        names = self._names(audience)
        posts = [_post(names[number % len(names)]) for number in range(count)]

        async def shown(post: PostCreated) -> bool:
            return await self._fanned(post.post_id) == audience

        what = f"a post to {audience} followers"
        await self._measure(what, posts, shown)
        if self._bare is None:
            return
        authors = [post.author_id for post in posts]
        answer = await self._bare.ask(how="batches", authors=authors, followers=audience)
        bare = answer["rows"] / answer["elapsed_s"] / audience
        found = self.found[what]
        found["of the bare program"].append(found["a second"][-1] / bare)

    async def _pulled_posts(self) -> None:
        posts = [_post("famous") for _ in range(self._size.pulled_posts)]

        async def shown(post: PostCreated) -> bool:
            return await self._fanned(post.post_id) == 0

        await self._measure("a pulled post", posts, shown)

    async def _fanned(self, post_id: UUID) -> int | None:
        """The rows that a post's fan-out has written; None while it is under way."""
        plan = await self._system.stores.jobs.plan(post_id)
        done = await self._system.stores.jobs.slices_done(post_id)
        if plan is None or len(done) < plan.slices_total:
            return None
        return sum(slice_done.delivered for slice_done in done.values())

    async def _sleepers(self) -> None:
        users, now = self._system.stores.users, from_ms(_now_ms())
        falling = [UserFellAsleep(user_id=name, fell_asleep_at=now) for name in self._follows_of]
        waking = [UserWoke(user_id=name, woke_at=now) for name in self._follows_of]

        async def asleep(event: UserFellAsleep) -> bool:
            return (await users.get(event.user_id)).asleep

        async def awake(event: UserWoke) -> bool:
            return not (await users.get(event.user_id)).asleep

        of = f"with {self._size.followees} followees"
        # The state is written before the marks, so the tables don't show when the marks are set.
        await self._measure(f"a sleeper {of}", falling, asleep, rest_s=3.0)
        await self._measure(f"woken, {of}", waking, awake)
        for name in self._follows_of:
            copied = await self._system.stores.timelines.timeline(
                name, before=None, since_ms=0, limit=10_000
            )
            if len(copied) < self._size.followees * _POSTS_EACH:
                raise WrongResult(f"{name} woke with {len(copied)} posts")

    async def _measure(
        self,
        what: str,
        events: Sequence[E],
        shown: Callable[[E], Awaitable[bool]],
        *,
        rest_s: float = 0.0,
    ) -> None:
        """Append the events while the worker stands still, so that nothing but its own work is measured."""
        self._bench.say(f"{len(events):,} times {what}")
        pids = {**self._bench.engine_pids, **self._workers}
        with standing_still(self._workers.values()):
            await self._system.log.append_many(events)
            before = Costs.now(pids)
        started_s = time.perf_counter()
        pending = list(events[-TAIL:])
        while pending:
            await asyncio.sleep(_POLL_S)
            while pending and await shown(pending[-1]):
                pending.pop()
            if time.perf_counter() - started_s > _WITHIN_S:
                raise WrongResult(f"{what}: {len(pending)} not shown within {_WITHIN_S:.0f} s")
        took_s = time.perf_counter() - started_s
        await asyncio.sleep(rest_s)
        spent = dict(Costs.now(pids).since(before).of)
        spent["worker"] = sum(spent.pop(name) for name in self._workers)
        if not all(await answers_of(map(shown, events))):
            raise WrongResult(f"{what}: the last events show, and one before them doesn't")
        found = self.found[what]
        if not rest_s:
            found["a second"].append(len(events) / took_s)
        for name, cpu_s in spent.items():
            found[f"CPU, {name}: ms"].append(cpu_s / len(events) * 1000)

    def _names(self, audience: int) -> list[str]:
        return [
            f"of-{audience}-{number:03}" for number in range(self._size.authors_of_each_audience)
        ]


async def common_events(bench: Bench) -> Section:
    size: Size = bench.pick(FULL, QUICK)
    settings = await bench.new_system()
    async with (
        running(bench, settings, "fanout_service") as system,
        child("bench.bare_writes", settings) as bare,
    ):
        events = CommonEvents(bench, system, size, bare=bare)
        await events.measured()
    section = Section("i", "Common events: what each costs one worker")
    columns = ["a second", "of the bare program"]
    columns += [f"CPU, {name}: ms" for name in ("worker", "kafka", "cassandra")]
    for what, found in events.found.items():
        cells = {name: figure(found[name]) if name in found else "" for name in columns}
        section.rows.append({"what": what, **cells})
    section.notes = [
        "Checked: every event shows in the tables, with the right counts, rows and deliveries.",
        "The events are appended while the worker stands still, and its time is counted from then on. Its CPU includes Faust and Kafka's client.",
    ]
    return section


def _post(author_id: str) -> PostCreated:
    return new_post(author_id, now_ms=_now_ms(), content="Of 140 characters: " * 7)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
