"""Readers with full timelines, some with followed celebrities, for section (b)."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from bench.crowd import await_each, new_post, seed_author
from bench.stack import System
from fanfold.core.delivery import Delivery
from fanfold.core.ports import Pointer
from fanfold.core.settings import MS_PER_DAY

CELEBRITIES = (0, 10, 100)
SPREAD_DAYS = 10


@dataclass(frozen=True, slots=True)
class Size:
    """The size of the small world. Every reader follows `follows` ordinary authors."""

    readers_each: int
    authors: int
    follows: int
    posts_each: int
    celebrity_posts: int


FULL = Size(readers_each=300, authors=300, follows=40, posts_each=8, celebrity_posts=20)
QUICK = Size(readers_each=40, authors=60, follows=20, posts_each=8, celebrity_posts=8)


class Readers:
    """The world as it is written, which determines what each feed must hold."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.posts: dict[str, list[UUID]] = {}

    def named(self, celebrities: int) -> list[str]:
        return [f"r{celebrities}-{number:04}" for number in range(self.size.readers_each)]

    def ordinary(self, number: int) -> list[str]:
        """The followees of the reader with that number, without celebrities."""
        return [
            f"a{(number * 7 + step * 11) % self.size.authors:04}"
            for step in range(self.size.follows)
        ]

    def famous(self, celebrities: int) -> list[str]:
        return [f"c{number:04}" for number in range(celebrities)]

    def newest(self, number: int, celebrities: int, limit: int) -> list[str]:
        """The oracle: that reader's feed, newest first."""
        authors = {*self.ordinary(number), *self.famous(celebrities)}
        posts = [post for author in authors for post in self.posts[author]]
        return [
            str(post) for post in sorted(posts, key=lambda post: post.int, reverse=True)[:limit]
        ]

    async def write(self, system: System) -> None:
        """The tables as the fan-out would have left them."""
        followers: defaultdict[str, list[str]] = defaultdict(list)
        for celebrities in CELEBRITIES:
            for number, name in enumerate(self.named(celebrities)):
                for author in (*self.ordinary(number), *self.famous(celebrities)):
                    followers[author].append(name)
        now_ms = time.time_ns() // 1_000_000
        for place, (author, names) in enumerate(sorted(followers.items())):
            pulled = author.startswith("c")
            count = self.size.celebrity_posts if pulled else self.size.posts_each
            spacing_ms = SPREAD_DAYS * MS_PER_DAY // count
            # Apart in time, so that no two posts share a millisecond and their order is known.
            ages = [spacing_ms * step + 977 * place + 60_000 for step in range(count)]
            posts = [new_post(author, now_ms=now_ms - age).post_id for age in ages]
            self.posts[author] = posts
            await self._publish(system, author, names, pulled=pulled)

    async def _publish(
        self, system: System, author: str, names: list[str], *, pulled: bool
    ) -> None:
        stores, posts = system.stores, self.posts[author]
        mode: Delivery = "pull" if pulled else "push"
        count = 1_000_000 if pulled else len(names)
        await seed_author(stores, author, names, system.settings, delivery=mode, count=count)
        await await_each(
            stores.posts.create(post, author, "Of 140 characters: " * 7) for post in posts
        )
        await await_each(stores.posts.set_delivery(author, post, mode, offset=1) for post in posts)
        if pulled:
            until_ms = time.time_ns() // 1_000_000 + 2 * SPREAD_DAYS * MS_PER_DAY
            await stores.pulled_authors.keep(author, until_ms=until_ms)
            await await_each(stores.timelines.add_pulled(Pointer(post, author)) for post in posts)
        else:
            await stores.timelines.push([Pointer(post, author) for post in posts], names)
