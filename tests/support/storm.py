"""What many clients do at once. Each looks at its own writes right after they are acknowledged.

A user does one thing at a time, so only other users can change what the user's look must find. What those may change is
noted before they ask for it, and not expected afterwards.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

import httpx2

from fanfold.core.events import UserFellAsleep
from tests.support.api_calls import call, complete_page, whole_feed
from tests.support.oracle import Oracle
from tests.support.stacks import Stack

Action = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Cast:
    """The roles of users. Actors do everything, leavers until they leave; the others only read, or do nothing."""

    actors: Sequence[str]
    leavers: Sequence[str]
    readers: Sequence[str]
    sleepers: Sequence[str]
    absent: Sequence[str]
    star: str
    fans: Sequence[str]
    """Only these actors follow the star, when the story says so."""


class Known(NamedTuple):
    """An acknowledged post."""

    post_id: str
    author: str
    position: str


class Page(NamedTuple):
    """The newest items of a feed by post id; what isn't newer than the horizon may be on a later page."""

    items: dict[str, dict[str, Any]]
    horizon: str

    def by(self, author: str) -> list[str]:
        return [post_id for post_id, item in self.items.items() if item["author_id"] == author]


class Read(NamedTuple):
    """A whole feed of one who only reads, with the posts that were acknowledged before it was asked for."""

    reader: str
    shown: list[str]
    known: set[str]


@dataclass
class Storm:
    """The actions, what they have done so far, and what they found wrong."""

    stack: Stack
    cast: Cast
    graph: dict[str, list[str]]
    rng: random.Random
    posts: list[Known] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    looks: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    """Posts whose fan-out had ended before the storm."""
    deleting: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    blocking: set[tuple[str, str]] = field(default_factory=set)
    """Of all three, also what was only asked for so far. A pair with a block stays in it, because follows don't return."""
    blocks: set[tuple[str, str]] = field(default_factory=set)
    muted: set[tuple[str, str]] = field(default_factory=set)
    likes: list[tuple[str, Known]] = field(default_factory=list)
    _turns: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def __post_init__(self) -> None:
        self._others = {*self.cast.readers, *self.cast.sleepers, *self.cast.absent, self.cast.star}
        names = [name for name in self.graph if name not in self._others]
        self._authors = names, [len(self.graph[name]) + 1 for name in names]

    # What they do.

    async def post(self, author: str = "") -> None:
        author = author or self._popular()
        async with self._turns[author]:
            content = f"by {author}, {uuid4()}"
            answer = await self._write(
                "POST",
                "/posts",
                author,
                json={"content": content},
                headers={"Idempotency-Key": str(uuid4())},
            )
            if answer is None:
                return
            post_id, position = answer.json()["post_id"], answer.headers["fanfold-position"]
            self.posts.append(Known(post_id, author, position))
            page = await self._look("post", author, position)
            shown = page.items.get(post_id)
            self._expect(shown is not None and shown["content"] == content, "post", author, post_id)

    async def edit(self) -> None:
        post = self._any_post()
        async with self._turns[post.author]:
            content = f"edited {uuid4()}"
            answer = await self._write(
                "PATCH", f"/posts/{post.post_id}", post.author, json={"content": content}
            )
            if answer is None:
                return
            for reader in (post.author, self._fan_of(post.author)):
                page = await self._look("edit", reader, answer.headers["fanfold-position"])
                shown = page.items.get(post.post_id)
                as_edited = shown and shown["content"] == content and shown["edited_at"]
                self._expect(shown is None or bool(as_edited), "edit", reader, post.post_id)

    async def delete(self) -> None:
        post = self._any_post()
        async with self._turns[post.author]:
            self.deleting.add(post.post_id)
            answer = await self._write("DELETE", f"/posts/{post.post_id}", post.author)
            if answer is None or "fanfold-position" not in answer.headers:
                return  # deleted before
            for reader in (post.author, self._fan_of(post.author)):
                page = await self._look("delete", reader, answer.headers["fanfold-position"])
                self._expect(post.post_id not in page.items, "delete", reader, post.post_id)
            path = f"/posts/{post.post_id}"
            gone = await self.stack.api("GET", path, actor=post.author)
            self._expect(gone.status_code == 404, "deleted", post.author, path)

    async def follow(self, follower: str = "", followee: str = "") -> None:
        follower, followee = follower or self._actor(), followee or self._popular()
        if follower == followee:
            return
        async with self._turns[follower]:
            posts = [post for post in self.posts if post.author == followee][-3:]
            path = f"/users/{follower}/following/{followee}"
            answer = await self._write("PUT", path, follower, about=followee)
            if answer is None:
                return
            positions = answer.headers["fanfold-position"], *(post.position for post in posts)
            page = await self._look("follow", follower, *positions)
            self._expect_all(posts, page, "follow", follower)

    async def unfollow(self, follower: str = "", followee: str = "") -> None:
        followee = followee or self._popular()
        follower = follower or self._fan_of(followee)
        if follower == followee:
            return
        async with self._turns[follower]:
            path = f"/users/{follower}/following/{followee}"
            answer = await self._write("DELETE", path, follower, about=followee)
            if answer is not None:
                page = await self._look("unfollow", follower, answer.headers["fanfold-position"])
                self._expect(not page.by(followee), "unfollow", follower, followee)

    async def mute(self) -> None:
        target = self._popular()
        actor = self._fan_of(target)
        if actor == target:
            return
        async with self._turns[actor]:
            path = f"/users/{actor}/muted/{target}"
            answer = await self._write("PUT", path, actor, about=target)
            if answer is not None:
                self.muted.add((actor, target))
                page = await self._look("mute", actor, answer.headers["fanfold-position"])
                self._expect(not page.by(target), "mute", actor, target)

    async def unmute(self) -> None:
        if not self.muted:
            return
        actor, target = self.rng.choice(sorted(self.muted))
        async with self._turns[actor]:
            path = f"/users/{actor}/muted/{target}"
            answer = await self._write("DELETE", path, actor, about=target)
            if answer is None:
                return
            self.muted.discard((actor, target))
            # Followed or not before: followed now, and so not hidden any more.
            path = f"/users/{actor}/following/{target}"
            follow = await self._write("PUT", path, actor, about=target)
            if follow is None:
                return
            posts = [post for post in self.posts if post.author == target][-3:]
            written = (answer.headers["fanfold-position"], follow.headers["fanfold-position"])
            positions = (*written, *(post.position for post in posts))
            page = await self._look("unmute", actor, *positions)
            self._expect_all(posts, page, "unmute", actor)

    async def block(self) -> None:
        target = self._popular()
        actor = self._fan_of(target)
        if actor == target or target in self.cast.leavers:
            return
        async with self._turns[actor]:
            self.blocking.add((actor, target))
            path = f"/users/{actor}/blocked/{target}"
            answer = await self._write("PUT", path, actor, about=target)
            if answer is None:
                return
            self.blocks.add((actor, target))
            for one, other in ((actor, target), (target, actor)):
                page = await self._look("block", one, answer.headers["fanfold-position"])
                self._expect(not page.by(other), "block", one, other)
                path = f"/users/{one}/following/{other}"
                refused = await self.stack.api("PUT", path, actor=one)
                self._expect(refused.status_code == 403, "across a block", one, other)

    async def unblock(self) -> None:
        if not self.blocks:
            return
        actor, target = self.rng.choice(sorted(self.blocks))
        async with self._turns[actor]:
            if (actor, target) not in self.blocks:
                return  # unblocked, and followed again, while this client waited for its turn
            path = f"/users/{actor}/blocked/{target}"
            answer = await self._write("DELETE", path, actor, about=target)
            if answer is None:
                return
            self.blocks.discard((actor, target))
            page = await self._look("unblock", actor, answer.headers["fanfold-position"])
            self._expect(not page.by(target), "no follow comes back", actor, target)
            again = await self.stack.api("PUT", f"/users/{actor}/following/{target}", actor=actor)
            free = (target, actor) in self.blocking or again.status_code in (204, 503)
            self._expect(free, "unblock", actor, target)

    async def like(self, post: Known | None = None) -> None:
        post = post or self._any_post()
        actor = self.rng.choice([self._fan_of(post.author), self._actor()])
        async with self._turns[actor]:
            path = f"/posts/{post.post_id}/like"
            answer = await self._write("PUT", path, actor, about=post.author)
            if answer is not None and self.rng.random() < 0.3:
                answer = await self._write("PUT", path, actor, about=post.author)  # a second time
            if answer is None:
                return
            self.likes.append((actor, post))
            page = await self._look("like", actor, answer.headers["fanfold-position"])
            shown = page.items.get(post.post_id)
            liked = shown is None or (shown["liked_by_me"] and shown["like_count"] > 0)
            self._expect(liked, "like", actor, shown)

    async def unlike(self) -> None:
        if not self.likes:
            return
        actor, post = self.rng.choice(self.likes)
        async with self._turns[actor]:
            answer = await self._write(
                "DELETE", f"/posts/{post.post_id}/like", actor, about=post.author
            )
            if answer is None:
                return
            page = await self._look("unlike", actor, answer.headers["fanfold-position"])
            shown = page.items.get(post.post_id)
            self._expect(shown is None or not shown["liked_by_me"], "unlike", actor, shown)

    async def rename(self) -> None:
        actor = self._popular()
        async with self._turns[actor]:
            name = f"{actor} the {self.rng.randrange(1000)}th"
            answer = await self._write("PUT", f"/users/{actor}", actor, json={"display_name": name})
            if answer is not None:
                page = await self._look("rename", actor, answer.headers["fanfold-position"])
                names = {page.items[post_id]["author"] for post_id in page.by(actor)}
                self._expect(names <= {name}, "rename", actor, names)

    async def leave(self, leaver: str) -> None:
        api = self.stack.api
        async with self._turns[leaver]:
            self.leaving.add(leaver)
            done = await call(api, "DELETE", f"/users/{leaver}", leaver, refused=())
            after = {"Fanfold-After": done.headers["fanfold-position"]}
            fan = self._fan_of(leaver)
            page = await self._look("leave", fan, done.headers["fanfold-position"])
            self._expect(not page.by(leaver), "leave", fan, leaver)
            for path in (f"/users/{leaver}/feed", f"/users/{leaver}", f"/users/{leaver}/posts"):
                gone = await call(api, "GET", path, leaver, headers=after)
                self._expect(gone.status_code == 404, "left", leaver, path)
            refused = await api("POST", "/posts", actor=leaver, json={"content": "back"})
            self._expect(refused.status_code == 403, "left", leaver, refused.text)

    async def doze(self) -> None:
        """A reader is told to have read nothing for long."""
        event = UserFellAsleep(
            user_id=self.rng.choice(self.cast.readers), fell_asleep_at=datetime.now(UTC)
        )
        await self.stack.log.append(event)

    async def read(self, reader: str = "") -> None:
        """The whole feed of one who only reads, perhaps asleep."""
        reader = reader or self.rng.choice(self.cast.readers)
        seen = [post for post in self.posts if reader in self.graph[post.author]]
        newest = [post for post in seen if post.post_id not in self.settled][-5:]
        items = await whole_feed(
            self.stack.api, reader, after=",".join(post.position for post in newest)
        )
        known = {post.post_id for post in newest}
        known |= {post.post_id for post in seen if post.post_id in self.settled}
        self.reads.append(Read(reader, [item["post_id"] for item in items], known))

    async def swing(self, threshold: int, hysteresis: float, clients: int) -> None:
        """The star's followers rise above the threshold and fall below the share of it at which authors return to push, again and again."""
        top = threshold + 2
        fans = self.cast.fans[: top - len(self.graph[self.cast.star])]
        swingers = fans[: top - (int(threshold * hysteresis) - 2)]
        await self.by_clients(map(self._follows, fans), clients)
        for _ in range(2):
            await self.by_clients([self._star_posts, *map(self._unfollows, swingers)], clients)
            await self.by_clients([*map(self._follows, swingers), self._star_posts], clients)

    async def by_clients(self, actions: Iterable[Action], clients: int) -> None:
        """All actions, so many at a time."""
        todo = iter(actions)

        async def client() -> None:
            for action in todo:
                await action()

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())

    # What they look at.

    def judge_reads(self, oracle: Oracle) -> None:
        """What was there when a reader read, and still is in the end, was shown; nothing strange, and nothing twice."""
        for reader, shown, known in self.reads:
            held = {item.post_id for item in oracle.feed(reader)}
            missing = known & held - set(shown)
            self._expect(not missing, "read", reader, sorted(missing)[:3])
            self._expect(shown == sorted(set(shown), reverse=True), "order", reader, shown)
            authors = {oracle.posts[post_id]["author_id"] for post_id in shown}
            strange = {author for author in authors if reader not in (*self.graph[author], author)}
            self._expect(not strange, "strangers", reader, strange)
            self.looks["read"] += 1

    async def _look(self, what: str, reader: str, *positions: str) -> Page:
        self.looks[what] += 1
        query = {"ranking": "chronological", "limit": 100}
        page = await complete_page(self.stack.api, reader, query, after=", ".join(positions))
        items = {item["post_id"]: item for item in page["items"]}
        return Page(items, min(items) if page["next_cursor"] else "")

    async def _write(
        self,
        method: str,
        path: str,
        actor: str,
        *,
        about: str = "",
        **kwargs: Any,
    ) -> httpx2.Response | None:
        """The answer of a write that was taken; None for one that was refused, and could have been."""
        answer = await call(self.stack.api, method, path, actor, refused=(403, 404), **kwargs)
        if answer.status_code < 300:
            return answer
        left = actor in self.leaving or about in self.leaving
        apart = self._apart(actor, about)
        gone = path.split("/")[2] in self.deleting if path.startswith("/posts/") else False
        self._expect(left or apart or gone, f"{answer.status_code}", actor, answer.text)
        return None

    def _apart(self, one: str, other: str) -> bool:
        return not self.blocking.isdisjoint({(one, other), (other, one)})

    def _expect(self, holds: bool, what: str, who: str, detail: object) -> None:
        if not holds:
            self.wrong.append(f"{what}: {who}: {detail}")

    def _expect_all(self, posts: Sequence[Known], page: Page, what: str, who: str) -> None:
        missing = [
            post.post_id
            for post in posts
            if post.post_id > page.horizon
            and post.post_id not in page.items
            and post.post_id not in self.deleting
            and post.author not in self.leaving
            and not self._apart(who, post.author)
            and (who, post.author) not in self.muted
        ]
        self._expect(not missing, what, who, missing)

    # Their choices.

    def _popular(self) -> str:
        return self.rng.choices(*self._authors)[0]

    def _actor(self) -> str:
        return self.rng.choice(self.cast.actors)

    def _any_post(self) -> Known:
        return self.rng.choice([post for post in self.posts if post.author not in self._others])

    def _fan_of(self, author: str) -> str:
        """An actor, one who followed the author at first if there is any."""
        fans = [name for name in self.graph[author] if name in self._acting]
        return self.rng.choice(fans) if fans else self._actor()

    @property
    def _acting(self) -> set[str]:
        return set(self.cast.actors)

    def _follows(self, fan: str) -> Action:
        return lambda: self.follow(fan, self.cast.star)

    def _unfollows(self, fan: str) -> Action:
        return lambda: self.unfollow(fan, self.cast.star)

    async def _star_posts(self) -> None:
        await self.post(self.cast.star)
