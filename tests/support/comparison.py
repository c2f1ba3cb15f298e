"""Everything that the API shows at quiescence, against the oracle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.support.api_calls import call, whole_feed
from tests.support.oracle import Oracle, Shown
from tests.support.stacks import Api

_CLIENTS = 8
_WITHIN_S = 20
"""A cached like is about a second old, and a reader may be woken while it is compared."""


@dataclass
class Outcome:
    """What was compared, for the test to say that it was no empty run."""

    feeds: int = 0
    items: int = 0
    likes: int = 0
    posts: int = 0
    gone: int = 0
    sources: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


Look = Callable[[str], Awaitable[list[str]]]
"""What is wrong with one user or post."""


class Comparison:
    """Compares users and posts. What is wrong is looked at again, until it is right or has been wrong too long."""

    def __init__(self, api: Api, oracle: Oracle) -> None:
        self._api = api
        self._oracle = oracle
        self._counts = oracle.follower_counts()
        self.outcome = Outcome()

    async def run(
        self, user_ids: Iterable[str], post_ids: Collection[str] | None = None
    ) -> Outcome:
        """Every user's feed, profile and lists, and these posts, or all."""
        self._follows_of_who_left()
        wrong = await self._all(self._user, user_ids)
        posts = self._oracle.posts if post_ids is None else post_ids
        wrong += await self._all(self._post, posts)
        self.outcome.wrong += wrong
        self.outcome.posts = len(posts)
        return self.outcome

    async def _all(self, look: Look, ids: Iterable[str]) -> list[str]:
        clock = asyncio.get_running_loop().time
        found = await _at_once(look, ids)
        gives_up_at_s = clock() + _WITHIN_S
        while found and clock() < gives_up_at_s:
            await asyncio.sleep(0.5)
            found = await _at_once(look, found)
        return [f"{user_id}: {what}" for user_id, wrong in found.items() for what in wrong]

    async def _user(self, user_id: str) -> list[str]:
        if user_id in self._oracle.left:
            return await self._gone(user_id)
        items = await whole_feed(self._api, user_id)
        shown, expected = [shown_by(item) for item in items], self._oracle.feed(user_id)
        self.outcome.feeds += 1
        self.outcome.items += len(items)
        self.outcome.likes += sum(item["like_count"] for item in items)
        self.outcome.sources |= {item["source"] for item in items}
        wrong = [] if shown == expected else [_difference(shown, expected)]
        return wrong + await self._profile(user_id) + await self._lists(user_id)

    async def _profile(self, user_id: str) -> list[str]:
        profile = (await call(self._api, "GET", f"/users/{user_id}", user_id)).json()
        expected = {
            "user_id": user_id,
            "display_name": self._oracle.names[user_id],
            "bio": None,
            "avatar_url": None,
            "created_at": self._oracle.registered_at[user_id],
            "follower_count": self._counts[user_id],
            "following_count": len(self._oracle.following[user_id]),
            "post_count": sum(
                not self._oracle.posts[post_id]["deleted"]
                for post_id in self._oracle.by_author[user_id]
            ),
            "delivery": self._oracle.sides[user_id],
            "viewer": dict.fromkeys(("following", "followed_by", "muted", "blocked"), False),
        }
        return [] if profile == expected else [f"{profile} instead of {expected}"]

    async def _lists(self, user_id: str) -> list[str]:
        wrong = []
        for kind, ties in (("muted", self._oracle.muted), ("blocked", self._oracle.blocked)):
            if not any(user_id in tie for tie in ties):
                continue
            path = f"/users/{user_id}/{kind}?limit=100"
            listed = (await call(self._api, "GET", path, user_id)).json()["items"]
            names = {user["user_id"] for user in listed}
            expected = {other for one, other in ties if one == user_id}
            if names != expected:
                wrong.append(f"{kind} {names} instead of {expected}")
        return wrong

    async def _gone(self, user_id: str) -> list[str]:
        paths = [f"/users/{user_id}{part}" for part in ("", "/feed", "/posts", "/followers")]
        answers = [await call(self._api, "GET", path, user_id) for path in paths]
        self.outcome.gone += 1
        return [f"{a.status_code} after leaving" for a in answers if a.status_code != 404]

    def _follows_of_who_left(self) -> None:
        for user_id in self._oracle.left:
            if self._oracle.following[user_id] or self._oracle.followers(user_id):
                self.outcome.wrong.append(f"{user_id} has left, and a follow has not ended")

    async def _post(self, post_id: str) -> list[str]:
        """As its author sees it, a user who likes it, and a user who may not see it, where such users exist."""
        author = self._oracle.posts[post_id]["author_id"]
        apart = {one for tie in self._oracle.blocked if author in tie for one in tie} - {author}
        viewers = {author, *sorted(self._oracle.likers[post_id])[:1], *sorted(apart)[:1]}
        wrong = []
        for viewer in viewers:
            answer = await call(self._api, "GET", f"/posts/{post_id}", viewer)
            expected = None
            if self._oracle.sees(viewer, post_id):
                expected = self._oracle.shown(post_id, viewer)
            shown = shown_by(answer.json()) if answer.status_code == 200 else None
            if shown != expected:
                wrong.append(f"{viewer} sees {shown} instead of {expected}")
        return wrong


async def _at_once(look: Look, ids: Iterable[str]) -> dict[str, list[str]]:
    """Those with which something is wrong."""
    todo, wrong = iter(list(ids)), {}

    async def client() -> None:
        for item_id in todo:
            if found := await look(item_id):
                wrong[item_id] = found

    async with asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(client())
    return wrong


def shown_by(item: dict[str, Any]) -> Shown:
    """What an item of the API says, as the oracle says it."""
    return Shown(
        item["post_id"],
        item["author"],
        item["content"],
        item["edited_at"] is not None,
        item["like_count"],
        item["liked_by_me"],
    )


def _difference(shown: list[Shown], expected: list[Shown]) -> str:
    missing = [item for item in expected if item not in shown]
    extra = [item for item in shown if item not in expected]
    return f"{len(shown)} items for {len(expected)}; missing {missing[:3]}, extra {extra[:3]}"
