"""Each path that a service documents reaches that service through the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fuzz.services import EXISTING, feed_service, graph_service, post_service
from tests.support.served import AppFactory
from tests.support.stacks import service_of

GATEWAY = Path(__file__).parents[2] / "deploy" / "gateway" / "envoy.yaml"
OWN = {"/livez", "/readyz", "/metrics"}
"""What each process says of itself. The gateway publishes none of it."""


def routes() -> Iterator[dict[str, Any]]:
    document = yaml.safe_load(GATEWAY.read_text())
    [listener] = document["static_resources"]["listeners"]
    [chain] = listener["filter_chains"]
    [manager] = chain["filters"]
    [host] = manager["typed_config"]["route_config"]["virtual_hosts"]
    yield from host["routes"]


def matches(match: dict[str, Any], path: str) -> bool:
    """Envoy's rules, as far as they are used here."""
    [(kind, wanted)] = match.items()
    if kind == "safe_regex":
        return re.fullmatch(wanted["regex"], path) is not None
    if kind == "path_separated_prefix":
        return path == wanted or path.startswith(f"{wanted}/")
    return path == wanted if kind == "path" else path.startswith(wanted)


def cluster(path: str) -> str | None:
    """The service that the first matching route names."""
    route = next(route for route in routes() if matches(route["match"], path))
    found: str | None = route.get("route", {}).get("cluster")
    return found


@pytest.mark.parametrize(
    ("name", "service"),
    [("post", post_service), ("graph", graph_service), ("feed", feed_service)],
)
async def test_every_documented_path_reaches_its_service(name: str, service: AppFactory) -> None:
    async with service() as app:
        paths = set(app.openapi()["paths"]) - OWN
    assert paths
    for path in paths:
        # Ids that are also names of routes: a user may be called like that.
        for user_id in ("alice", "feed", "posts", "muted"):
            asked = path.format(**{**EXISTING, "user_id": user_id, "target_id": user_id})
            assert cluster(asked) == name, asked
            assert service_of(asked) == name, asked


def test_what_a_process_says_of_itself_is_not_published() -> None:
    assert {path: cluster(path) for path in OWN} == dict.fromkeys(OWN)
