"""A world in which readers share little: many authors with audiences by a power law, and their posts.

Everything is a function of the size and two fixed seeds, so that each run reads the same world.
"""

from __future__ import annotations

import asyncio
import bisect
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, islice
from uuid import UUID

from bench.crowd import await_each, new_post, seed_author
from bench.stack import System
from fanfold.core.ports import Pointer
from fanfold.core.settings import MS_PER_DAY

AUTHORS_AT_ONCE = 32
TEXT = "Of 140 characters: " * 7


@dataclass(frozen=True, slots=True)
class Size:
    """The size of the world. Each author's posts are spread over `days`."""

    readers: int
    authors: int
    follows: int
    posts: int = 4
    days: int = 10
    exponent: float = 0.8
    """Of the power law by which authors are followed."""


FULL = Size(readers=4_000, authors=20_000, follows=200)
QUICK = Size(readers=120, authors=400, follows=30)


class WideWorld:
    """The world as it is written, which determines what each feed must hold."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.followees = _followees(size)
        self.posts: dict[str, list[UUID]] = {}

    @property
    def readers(self) -> list[str]:
        return list(self.followees)

    def newest(self, reader: str, limit: int) -> list[str]:
        """The oracle: the newest posts of a reader's feed, newest first."""
        posts = [post for author in self.followees[reader] for post in self.posts[author]]
        posts.sort(key=lambda post: post.int, reverse=True)
        return [str(post) for post in posts[:limit]]

    async def write(self, system: System, say: Callable[[str], None]) -> None:
        """The tables as the fan-out would have left them."""
        followers: defaultdict[str, list[str]] = defaultdict(list)
        for reader, authors in self.followees.items():
            for author in authors:
                followers[author].append(reader)
        rng, now_ms = random.Random(3), time.time_ns() // 1_000_000  # noqa: S311 - the same world each time
        written, left = 0, iter(followers.items())
        while chunk := list(islice(left, AUTHORS_AT_ONCE)):
            await asyncio.gather(
                *(self._publish(system, author, names, rng, now_ms) for author, names in chunk)
            )
            written += len(chunk)
            if written % 3_200 == 0:
                say(f"{written:,} of {len(followers):,} authors written")

    async def _publish(
        self, system: System, author: str, names: list[str], rng: random.Random, now_ms: int
    ) -> None:
        stores = system.stores
        ages_ms = [
            rng.randrange(60_000, self.size.days * MS_PER_DAY) for _ in range(self.size.posts)
        ]
        posts = [new_post(author, now_ms=now_ms - age_ms).post_id for age_ms in ages_ms]
        self.posts[author] = posts
        await seed_author(stores, author, names, system.settings)
        await await_each(stores.posts.create(post, author, TEXT) for post in posts)
        await await_each(
            stores.posts.set_delivery(author, post, "push", offset=1) for post in posts
        )
        await stores.timelines.push([Pointer(post, author) for post in posts], names)


def _followees(size: Size) -> dict[str, list[str]]:
    rng = random.Random(7)  # noqa: S311 - the same world each time
    cumulative = list(accumulate(1 / (rank + 20) ** size.exponent for rank in range(size.authors)))
    followees: dict[str, list[str]] = {}
    for number in range(size.readers):
        chosen: set[int] = set()
        while len(chosen) < size.follows:
            drawn = bisect.bisect_left(cumulative, rng.random() * cumulative[-1])
            chosen.add(min(drawn, size.authors - 1))
        followees[f"reader-{number:06}"] = [f"author-{rank:06}" for rank in sorted(chosen)]
    return followees
