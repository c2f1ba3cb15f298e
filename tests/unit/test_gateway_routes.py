"""Each path that a service documents reaches that service through the gateway."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.gateway.configure import add_origins, connection_manager
from tests.fuzz.services import EXISTING, feed_service, graph_service, post_service
from tests.support.merged_openapi import DOCUMENT
from tests.support.served import AppFactory
from tests.support.stacks import service_of

GATEWAY = Path(__file__).parents[2] / "deploy" / "gateway" / "envoy.yaml"
SERVICE_OF = {"live": "feed"}
"""Clusters that are connections of their own to a service that has others."""

OWN = {"/livez", "/readyz", "/metrics"}
"""What each process says of itself. The gateway publishes none of it."""


@cache
def resources() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(GATEWAY.read_text(), Loader=yaml.CSafeLoader)[
        "static_resources"
    ]
    return found


def routes() -> Iterator[dict[str, Any]]:
    [listener] = resources()["listeners"]
    [chain] = listener["filter_chains"]
    [manager] = chain["filters"]
    [host] = manager["typed_config"]["route_config"]["virtual_hosts"]
    yield from host["routes"]


def matches(match: dict[str, Any], path: str) -> bool:
    """Envoy's rules, as far as they are used here."""
    if "headers" in match:
        return False  # the one that refuses unknown hosts
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


@pytest.mark.slow
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
            found = cluster(asked)
            assert found is not None, asked
            assert SERVICE_OF.get(found, found) == name, asked
            assert service_of(asked) == name, asked


def test_what_a_process_says_of_itself_is_not_published() -> None:
    assert {path: cluster(path) for path in OWN} == dict.fromkeys(OWN)


def allowed_and_shown() -> tuple[set[str], set[str]]:
    """The headers that a page of a listed origin may send, and those that it may read."""
    manager = connection_manager(yaml.load(GATEWAY.read_text(), Loader=yaml.CSafeLoader))
    add_origins(manager, ["https://app.example"])
    (host,) = manager["route_config"]["virtual_hosts"]
    policy = host["typed_per_filter_config"]["envoy.filters.http.cors"]
    return set(policy["allow_headers"].split(",")), set(policy["expose_headers"].split(","))


def test_a_page_of_a_listed_origin_may_send_and_read_every_header_of_the_api() -> None:
    allowed, shown = allowed_and_shown()
    operations = [
        operation
        for path in json.loads(DOCUMENT.read_text())["paths"].values()
        for operation in path.values()
    ]
    sent = {
        parameter["name"].lower()
        for operation in operations
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "header"
    }
    answered = {
        name.lower()
        for operation in operations
        for response in operation["responses"].values()
        for name in response.get("headers", ())
    }
    assert {"fanfold-after", "etag"} <= sent | answered
    # What the document has no place for: credentials, the body's type, validators, the request's own id and its trace.
    whole = {"authorization", "content-type", "if-none-match", "traceparent", "x-request-id"}
    assert allowed == sent | whole | {"x-user-id"}
    assert answered | {"content-disposition", "x-request-id"} <= shown


def test_the_page_about_kubernetes_allows_and_shows_the_same_headers() -> None:
    allowed, shown = allowed_and_shown()
    page = (GATEWAY.parents[2] / "docs" / "kubernetes.md").read_text()
    listed = {
        name: set(headers.split(", "))
        for name, headers in re.findall(r"(allowHeaders|exposeHeaders): \[(.+)\]", page)
    }
    # There the overlay for other people than developers knows tokens only.
    assert listed == {"allowHeaders": allowed - {"x-user-id"}, "exposeHeaders": shown}


def clusters() -> dict[str, Any]:
    return {found["name"]: found for found in resources()["clusters"]}


def test_live_feeds_have_connections_of_their_own() -> None:
    assert cluster("/users/alice/feed/stream") == "live"
    others = [route for route in routes() if route.get("route", {}).get("cluster") == "live"]
    assert len(others) == 1
    by_name = clusters()
    assert (
        by_name["live"]["load_assignment"]["endpoints"]
        == by_name["feed"]["load_assignment"]["endpoints"]
    )


def test_every_service_has_explicit_breakers_and_every_client_a_bound() -> None:
    document = yaml.load(GATEWAY.read_text(), Loader=yaml.CSafeLoader)
    for name, found in clusters().items():
        [bounds] = found["circuit_breakers"]["thresholds"]
        assert bounds.keys() == {
            "max_connections",
            "max_pending_requests",
            "max_requests",
            "max_retries",
        }, name
    [monitor] = document["overload_manager"]["resource_monitors"]
    assert monitor["typed_config"]["max_active_downstream_connections"] > 0


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("[::1]", True),
        ("gateway", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.7", False),
        ("", False),
    ],
)
def test_no_page_reaches_the_gateway_by_a_name_of_its_own(host: str, served: bool) -> None:
    document = yaml.load(GATEWAY.read_text(), Loader=yaml.CSafeLoader)
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    assert manager["typed_config"]["strip_any_host_port"] is True
    refusal = next(routes())
    [header] = refusal["match"]["headers"]
    assert (header["name"], header["invert_match"]) == (":authority", True)
    assert refusal["direct_response"] == {"status": 421}
    known = re.fullmatch(header["string_match"]["safe_regex"]["regex"], host) is not None
    assert known is served
