"""`schemas/openapi.json`: the routes of all services in one OpenAPI document, with examples, as a client behind the gateway sees them.

`make schemas` writes it; tests/api/test_openapi.py compares it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from fanfold.core.topics import SCHEMAS
from tests.fuzz.services import feed_service, graph_service, post_service
from tests.support.openapi_examples import add_examples

DOCUMENT = SCHEMAS / "openapi.json"

_OPERATORS = {"/livez", "/readyz", "/metrics"}
"""What each process says of itself, and the gateway does not publish."""

_INFO = {
    "title": "Fanfold",
    "version": "1",
    "description": "Posts, users, follows and feeds. Every refusal is a problem document: docs/problems.md has all types.",
    "contact": {"name": "The operator of this installation"},
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
_TAGS = [
    {"name": "posts", "description": "Posts and likes."},
    {"name": "graph", "description": "Users, follows, mutes and blocks."},
    {"name": "feeds", "description": "Feeds, and the posts of an author."},
]


async def merged_openapi() -> dict[str, Any]:
    """The document without its examples. Raises `ValueError` if two services mean different things by one name."""
    head = {"info": _INFO, "servers": [{"url": "/"}], "tags": _TAGS}
    merged: dict[str, Any] = {"openapi": "", **head, "paths": {}}
    components: dict[str, dict[str, Any]] = {}
    for service in (post_service, graph_service, feed_service):
        async with service() as app:
            document = app.openapi()
        merged["openapi"] = document["openapi"]
        for path, operations in document["paths"].items():
            if path not in _OPERATORS:
                _add(merged["paths"], path, operations)
        for kind, named in document["components"].items():
            for name, value in named.items():
                _add(components.setdefault(kind, {}), name, value)
    used = json.dumps(merged["paths"]) + json.dumps(components)
    schemas = components["schemas"]
    components["schemas"] = {
        name: schemas[name] for name in sorted(schemas) if f'/schemas/{name}"' in used
    }
    return {**merged, "components": components}


def _add(into: dict[str, Any], name: str, value: Any) -> None:
    if into.setdefault(name, value) != value:
        raise ValueError(f"two services have another {name}")


async def as_committed() -> str:
    """The text of the document, with its examples."""
    document = await add_examples(await merged_openapi())
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    # An example of a refusal is that of engines that are away.
    logging.disable(logging.WARNING)
    DOCUMENT.write_text(asyncio.run(as_committed()))
