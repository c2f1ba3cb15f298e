"""Every route of the API that writes, as `schemas/openapi.json` has them. Giving out a ticket is no write: a ticket is for a read."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol

from fanfold.core.topics import SCHEMAS

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

    @property
    def is_of_the_authors_post(self) -> bool:
        """Whether it changes a post of the actor; the actor has then published already."""
        return self.path == "/posts/{post_id}"

    async def __call__(self, api: Ask, *, actor: str, target: str, post: str) -> Any:
        """What the route answers to this actor, about this user and this post."""
        path = self.path.format(user_id=actor, target_id=target, post_id=post)
        sent = {"json": _BODIES[self.name]} if self.name in _BODIES else {}
        return await api(self.method, path, actor=actor, **sent)


def writing_routes() -> list[WritingRoute]:
    """All of them."""
    paths = json.loads((SCHEMAS / "openapi.json").read_text())["paths"]
    return [
        WritingRoute(method.upper(), path)
        for path, operations in paths.items()
        for method in operations
        if method in {"post", "put", "patch", "delete"} and not path.endswith("/ticket")
    ]
