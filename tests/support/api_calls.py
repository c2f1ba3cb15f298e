"""The API as a well-behaved client uses it: it retries a 503, and pages to the end."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from tests.support.stacks import Api

_TRIES = 40
_PAUSE_S = 0.1


async def call(
    api: Api,
    method: str,
    path: str,
    actor: str,
    *,
    refused: tuple[int, ...] = (404,),
    **kwargs: Any,
) -> httpx2.Response:
    """One request, repeated while the answer is "not yet". It must succeed, unless it is `refused` as allowed."""
    for _ in range(_TRIES):
        answer = await api(method, path, actor=actor, **kwargs)
        if answer.status_code != 503:
            break
        await asyncio.sleep(_PAUSE_S)
    status = answer.status_code
    assert status < 300 or status in refused, (method, path, actor, status, answer.text)
    return answer


async def whole_feed(
    api: Api, user_id: str, *, limit: int = 100, after: str = ""
) -> list[dict[str, Any]]:
    """All pages of the chronological feed, each of them complete, and the first after those positions of the log."""
    items: list[dict[str, Any]] = []
    query: dict[str, Any] = {"ranking": "chronological", "limit": limit}
    while True:
        page = await complete_page(api, user_id, query, after=after)
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        assert len(page["items"]) == limit, "only the last page may be short"
        query["cursor"], after = page["next_cursor"], ""


async def complete_page(
    api: Api, user_id: str, query: dict[str, Any], *, after: str = ""
) -> dict[str, Any]:
    """A page of one's feed. One that says it isn't whole is counted, and asked for again."""
    headers = {"Fanfold-After": after} if after else {}
    path = f"/users/{user_id}/feed"
    for _ in range(_TRIES):
        answer = await call(api, "GET", path, user_id, refused=(), params=query, headers=headers)
        page: dict[str, Any] = answer.json()
        missing = answer.headers.get("fanfold-incomplete")
        assert page["complete"] == (missing is None), "what is missing has a name"
        if missing is None:
            return page
        api.incomplete[missing] += 1
    raise AssertionError(f"never complete: {missing}")
