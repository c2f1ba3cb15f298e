"""Every route of the API that writes, as `schemas/openapi.json` has them. To give out a ticket is no write: it is for a read."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol

from fanfold.core.topics import SCHEMAS

OPEN_TO_ALL = {"PUT /users/{user_id}", "DELETE /users/{user_id}"}
"""Registering and leaving."""

_BODIES: dict[str, dict[str, Any]] = {
    "POST /posts": {"content": "hello"},
    "PATCH /posts/{post_id}": {"content": "hello again"},
    "PUT /users/{user_id}": {"display_name": "Newcomer"},
    "PUT /users/{user_id}/following": {"user_ids": ["bob"]},
}


class Ask(Protocol):
    """An API that trusts `X-User-Id`."""

    async def __call__(
        self, method: str, path: str, *, actor: str | None = None, **kwargs: Any
    ) -> Any: ...


class WritingRoute(NamedTuple):
    """A route that writes."""

    method: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    async def __call__(
        self, api: Ask, *, actor: str, target: str, post: str, after: str | None = None
    ) -> Any:
        """What the route answers to this actor, about this user and this post."""
        path = self.path.format(user_id=actor, target_id=target, post_id=post)
        sent: dict[str, Any] = {"headers": {"Fanfold-After": after}} if after else {}
        if self.name in _BODIES:
            sent["json"] = _BODIES[self.name]
        return await api(self.method, path, actor=actor, **sent)


def writing_routes() -> list[WritingRoute]:
    """All of them: what ends a thing comes last, and leaving at the very end."""
    paths = json.loads((SCHEMAS / "openapi.json").read_text())["paths"]
    found = [
        WritingRoute(method.upper(), path)
        for path, operations in paths.items()
        for method in operations
        if method in {"post", "put", "patch", "delete"} and not path.endswith("/ticket")
    ]
    return sorted(found, key=lambda route: (route.method == "DELETE", -len(route.path)))


async def refused_to_the_unregistered(api: Ask, actor: str, *, target: str, post: str) -> None:
    """Every write of an actor without a profile is 403, but for registering and leaving."""
    for route in writing_routes():
        if route.name not in OPEN_TO_ALL:
            answer = await route(api, actor=actor, target=target, post=post)
            assert (answer.status_code, answer.json()["type"]) == (
                403,
                "urn:fanfold:problem:not-registered",
            ), f"{route.name}: {answer.text}"
