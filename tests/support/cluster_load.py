"""Clients of a cluster that ask at a rate of their own while something fails, and in the end exact numbers of what went wrong.

A write is repeated until it is acknowledged, as a client should; new ones come meanwhile, at the same rate. So what the log and the
API must hold in the end is known exactly.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx2

from tests.support.reconnecting_client import ReconnectingClient

Action = Callable[[], Coroutine[None, None, None]]

SAID = {409, 429, 503, 504}
"""Answers that say that nothing has happened, or that the client must ask again: with a reason, and 503 and 504 with a time."""
_REPEATS_WITHIN_S = 180.0
_PAUSE_S = 0.3
_FIRST_PAGE = {"ranking": "chronological", "limit": "100"}


@dataclass
class Asked:
    """How requests were answered: by kind of request, and what was answered."""

    answers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: Counter[str] = field(default_factory=Counter)
    """Of those that were refused with a status of 500 and above: the kind, the status, and the problem that the answer names."""
    silent: list[str] = field(default_factory=list)
    """Requests that failed in a way that no client is told of."""
    slowest_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def refused(self) -> Counter[str]:
        """Requests that were answered with a status of 500 and above."""
        requests = self.answers["read"] + self.answers["write"]
        return Counter({answer: times for answer, times in requests.items() if answer[0] == "5"})

    @property
    def unanswered(self) -> int:
        """Requests whose connection failed, or that were not answered in the client's time."""
        requests = self.answers["read"] + self.answers["write"]
        return sum(times for answer, times in requests.items() if not answer.isdecimal())


@dataclass
class ClusterLoad:
    """Six authors, one of them with an audience to be pulled, and twelve readers. All names begin with `name`.

    `gateway` sends a token of the user in `X-User-Id`. What a client knows: `acknowledged` posts by content, `deleted` ones, `likes` and
    `follows` as their last acknowledged write left them.
    """

    gateway: httpx2.AsyncClient
    name: str
    per_s: float = 12
    asked: Asked = field(default_factory=Asked)
    intended: dict[str, str] = field(default_factory=dict)
    acknowledged: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    likes: dict[tuple[str, str], bool] = field(default_factory=dict)
    follows: dict[tuple[str, str], bool] = field(default_factory=dict)
    wrong_pages: list[str] = field(default_factory=list)
    watchers: list[ReconnectingClient] = field(default_factory=list)
    _newest: dict[str, tuple[str, str]] = field(default_factory=dict)
    _likeable: list[str] = field(default_factory=list)
    _doomed: list[tuple[str, str]] = field(default_factory=list)
    _turns: dict[object, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def __post_init__(self) -> None:
        self._rng = random.Random(self.name)
        self.star, *self.authors = (f"{self.name}-author-{n}" for n in range(6))
        self.readers = [f"{self.name}-reader-{n}" for n in range(12)]

    @property
    def users(self) -> list[str]:
        return [self.star, *self.authors, *self.readers]

    async def prepare(self) -> None:
        """Everybody registers; every reader follows the star and one more author, and never ends that."""
        await asyncio.gather(*(self._register(user) for user in self.users))
        await asyncio.gather(
            *(
                self._until(204, "PUT", f"/users/{reader}/following/{author}", reader, unknown=True)
                for reader in self.readers
                for author in self._lasting(reader)
            )
        )
        for reader in self.readers:
            self.follows |= dict.fromkeys(
                ((reader, author) for author in self._lasting(reader)), True
            )

    async def _register(self, user: str) -> None:
        await self._until(200, "PUT", f"/users/{user}", user, json={"display_name": user})

    def _lasting(self, reader: str) -> tuple[str, str]:
        return self.star, self.authors[self.readers.index(reader) % len(self.authors)]

    def _passing(self, reader: str) -> str:
        """The author that this reader follows and unfollows in turn."""
        return self.authors[(self.readers.index(reader) + 1) % len(self.authors)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask at the rate during the block. At its end no more requests begin, and all writes are acknowledged."""
        actions = self._actions()
        asking: set[asyncio.Task[None]] = set()

        async def ask_on() -> None:
            due_s = time.monotonic()
            while True:
                asking.add(asyncio.create_task(self._rng.choices(*actions)[0]()))
                due_s += 1 / self.per_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))

        self.watchers = [ReconnectingClient(self.gateway, reader) for reader in self.readers[:2]]
        for watcher in self.watchers:
            watcher.connect()
        rate = asyncio.create_task(ask_on())
        try:
            yield
        finally:
            rate.cancel()
            await asyncio.gather(*asking)

    def _actions(self) -> tuple[list[Action], list[int]]:
        shares = {self.post: 4, self.read: 8, self.like: 4, self.follow: 2, self.delete: 1}
        return list(shares), list(shares.values())

    # What they do.

    async def post(self) -> None:
        author = self._rng.choice([self.star, *self.authors])
        number = len(self.intended)
        content = f"{self.name} {number}"
        self.intended[content] = author
        answer = await self._until(
            *(201, "POST", "/posts", author),
            json={"content": content},
            headers={"Idempotency-Key": str(uuid4())},
        )
        post_id = answer.json()["post_id"]
        self.acknowledged[content] = post_id
        if number % 6 == 0:
            self._doomed.append((author, post_id))
        else:
            self._likeable.append(post_id)
            known = self._newest.get(author, ("", ""))
            self._newest[author] = max(known, (post_id, answer.headers["fanfold-position"]))

    async def delete(self) -> None:
        if not self._doomed:
            return
        author, post_id = self._doomed.pop()
        answer = await self._until(204, "DELETE", f"/posts/{post_id}", author, unknown=True)
        self.deleted.add(post_id)
        # If there is no position, an earlier request deleted the post and its answer was lost.
        if position := answer.headers.get("fanfold-position", ""):
            fans = [reader for reader in self.readers if author in self._lasting(reader)]
            await self._look(self._rng.choice(fans), position, without=post_id)

    async def like(self) -> None:
        if not self._likeable:
            return
        reader, post_id = self._rng.choice(self.readers), self._rng.choice(self._likeable)
        async with self._turns[reader, post_id]:
            likes = not self.likes.get((reader, post_id), False)
            method = "PUT" if likes else "DELETE"
            # Until the post is in the tables.
            await self._until(204, method, f"/posts/{post_id}/like", reader, unknown=True)
            self.likes[reader, post_id] = likes

    async def follow(self) -> None:
        reader = self._rng.choice(self.readers)
        author = self._passing(reader)
        async with self._turns[reader, author]:
            follows = not self.follows.get((reader, author), False)
            path = f"/users/{reader}/following/{author}"
            await self._until(204, "PUT" if follows else "DELETE", path, reader)
            self.follows[reader, author] = follows

    async def read(self) -> None:
        reader = self._rng.choice(self.readers)
        author = self._rng.choice(self._lasting(reader))
        post_id, position = self._newest.get(author, ("", ""))
        await self._look(reader, position, including=post_id)

    async def _look(
        self, reader: str, after: str, *, including: str = "", without: str = ""
    ) -> None:
        """A page after a write: it shows the write, or says that it doesn't. Nothing is on it twice, and nothing strange."""
        headers = {"Fanfold-After": after} if after else {}
        path = f"/users/{reader}/feed"
        answer = await self._ask("GET", path, reader, params=_FIRST_PAGE, headers=headers)
        if answer is None or answer.status_code != 200:
            return
        page: dict[str, Any] = answer.json()
        ids = [item["post_id"] for item in page["items"]]
        known = {*self._lasting(reader), self._passing(reader), reader}
        wrong = [post_id for post_id, times in Counter(ids).items() if times > 1]
        wrong += [item["post_id"] for item in page["items"] if item["author_id"] not in known]
        wrong += [item["post_id"] for item in page["items"] if item["content"] not in self.intended]
        whole = page["complete"] and "fanfold-incomplete" not in answer.headers
        if whole and including and including not in ids:
            wrong.append(f"{including} is missing")
        if whole and without and without in ids:
            wrong.append(f"{without} is deleted")
        self.asked.answers["page"]["whole" if whole else "says what is missing"] += 1
        if wrong:
            self.wrong_pages.append(f"{reader}: {wrong}")

    # How they ask.

    async def _until(
        self,
        status: int,
        method: str,
        path: str,
        actor: str,
        *,
        unknown: bool = False,
        **request: Any,
    ) -> httpx2.Response:
        """Repeat until it is acknowledged."""
        until_s = time.monotonic() + _REPEATS_WITHIN_S
        accepted = {status, 404} if unknown else {status}
        while time.monotonic() < until_s:
            answer = await self._ask(method, path, actor, accepted=accepted, **request)
            if answer is not None and answer.status_code == status:
                return answer
            await asyncio.sleep(_PAUSE_S)
        raise AssertionError(f"never acknowledged: {method} {path}")

    async def _ask(
        self,
        method: str,
        path: str,
        actor: str,
        *,
        accepted: Collection[int] = (200,),
        headers: dict[str, str] | None = None,
        **request: Any,
    ) -> httpx2.Response | None:
        """One request. None if the connection failed: the client doesn't know the outcome, and knows that."""
        kind = "read" if method == "GET" else "write"
        began_s = time.monotonic()
        try:
            answer = await self.gateway.request(
                method, path, headers={"X-User-Id": actor, **(headers or {})}, **request
            )
        except httpx2.TransportError as error:
            self.asked.answers[kind][type(error).__name__] += 1
            return None
        finally:
            took_s = time.monotonic() - began_s
            self.asked.slowest_s[kind] = max(self.asked.slowest_s[kind], took_s)
        self.asked.answers[kind][str(answer.status_code)] += 1
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.asked.reasons[f"{kind} {answer.status_code} {_problem(answer)}"] += 1
        if answer.status_code not in accepted and not _says(answer):
            self.asked.silent.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer


def _problem(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return "undescribed"


def _says(answer: httpx2.Response) -> bool:
    """Whether a failure is one that a client is told of, and how to go on."""
    described = answer.headers.get("content-type", "").startswith("application/problem+json")
    when = answer.status_code not in (503, 504) or "retry-after" in answer.headers
    return answer.status_code in SAID and described and when
