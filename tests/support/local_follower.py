"""A client of `make up` that loses nothing: it repeats what was refused for a while, as a client should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import httpx2

from tests.support.eventually import eventually

# Temporary answers: of the gateway (its rate limits too), of a service, or because a request with this key is still in flight.
RETRIED = {409, 429, 502, 503, 504}


class Follower:
    """One author, one follower, and every post that was acknowledged."""

    def __init__(self, client: httpx2.AsyncClient, name: str, *, pause_s: float = 0.2) -> None:
        self.client = client
        self.pause_s = pause_s
        self.author, self.reader = f"{name}-author", f"{name}-reader"
        self.acknowledged: list[str] = []

    async def follow(self) -> None:
        for name in (self.author, self.reader):
            await self.until(200, "PUT", f"/users/{name}", name, json={"display_name": name})
        path = f"/users/{self.reader}/following/{self.author}"
        # Until the author's registration is in the tables.
        await self.until(204, "PUT", path, self.reader, retried=RETRIED | {404})

    async def post(self, n: int) -> None:
        answer = await self.until(
            201,
            "POST",
            "/posts",
            self.author,
            headers={"Idempotency-Key": f"key-{n}"},
            json={"content": f"post {n}"},
        )
        self.acknowledged.append(answer.json()["post_id"])

    async def until(
        self,
        status: int,
        method: str,
        path: str,
        actor: str,
        *,
        retried: Collection[int] = RETRIED,
        **request: Any,
    ) -> httpx2.Response:
        """Retry while the answer is temporary, as a client should."""
        headers = {"X-User-Id": actor, **request.pop("headers", {})}
        answers: list[httpx2.Response] = []

        async def answered() -> bool:
            try:
                answers.append(await self.client.request(method, path, headers=headers, **request))
            except httpx2.TransportError:
                return False
            assert answers[-1].status_code in {status, *retried}, answers[-1].text
            return answers[-1].status_code == status

        await eventually(answered, within_s=60, every_s=self.pause_s, what=f"{method} {path}")
        return answers[-1]

    async def feed(self) -> list[str]:
        """The whole chronological feed, page by page."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (
                await self.until(
                    200,
                    "GET",
                    f"/users/{self.reader}/feed",
                    self.reader,
                    params={"ranking": "chronological", "limit": "100", **cursor},
                )
            ).json()
            found += [item["post_id"] for item in page["items"]]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    async def has_everything_once(self) -> bool:
        return Counter(await self.feed()) == Counter(self.acknowledged)
