"""Makes Envoy's configuration: fills in the template, and adds the filters that depend on settings."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parent / "envoy.yaml"
GUARDED = ("/posts", "/users")
"""Paths whose routes need a token."""
BY_TICKET = ("/users/[^/]+/feed/stream", "/users/[^/]+/export")
"""Those that also accept a ticket (decision 58). The services decide which tickets are valid."""

_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
_ALLOWED_HEADERS = (
    "authorization,content-type,fanfold-after,idempotency-key,if-none-match,last-event-id,traceparent,x-request-id,"
    # Only where no tokens are verified; with tokens it is removed.
    "x-user-id"
)
_SHOWN_HEADERS = (
    "accept,content-disposition,etag,fanfold-incomplete,fanfold-position,link,location,retry-after,www-authenticate,"
    "x-ratelimit-limit,x-ratelimit-remaining,x-ratelimit-reset,x-request-id"
)


def configuration(values: Mapping[str, object]) -> dict[str, Any]:
    """The template with its words in capitals replaced by these values, without tokens and without other origins."""
    text = TEMPLATE.read_text()
    for placeholder, value in values.items():
        text = text.replace(placeholder, str(value))
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def connection_manager(configured: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that decides about requests."""
    (listener,) = configured["static_resources"]["listeners"]
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][-1]["typed_config"]
    return manager


def add_tokens(manager: dict[str, Any], *, issuer: str, audience: str, key_set: str) -> None:
    """Refuse requests without a token of the issuer, whose public keys are given. Its `sub` is the user of the rate limits.

    The services verify the token again, and read nothing but the token.
    """
    ignore_user_ids(manager)
    provider = {
        "issuer": issuer,
        "audiences": [audience],
        "forward": True,
        "local_jwks": {"inline_string": key_set},
        # Without this, a token in the query would be accepted too, and every log on the way would hold it.
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "claim_to_headers": [{"header_name": "x-user-id", "claim_name": "sub"}],
    }
    token = {"provider_name": "issuer"}
    # The first rule that matches decides. A wrong token is refused even if the request also has a ticket.
    token_or_none = {"requires_any": {"requirements": [token, {"allow_missing": {}}]}}
    rules = [
        *({"match": _with_ticket(path), "requires": token_or_none} for path in BY_TICKET),
        *({"match": {"path_separated_prefix": path}, "requires": token} for path in GUARDED),
    ]
    config = {
        "@type": f"{_FILTERS}.jwt_authn.v3.JwtAuthentication",
        "providers": {"issuer": provider},
        "rules": rules,
    }
    manager["http_filters"].insert(
        0, {"name": "envoy.filters.http.jwt_authn", "typed_config": config}
    )


def _with_ticket(path: str) -> dict[str, Any]:
    return {
        "safe_regex": {"regex": path},
        "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
        "query_parameters": [{"name": "ticket", "present_match": True}],
    }


def ignore_user_ids(manager: dict[str, Any]) -> None:
    """Remove `X-User-Id` from requests: with its own, a client would choose which rate limits count it."""
    (early,) = manager["early_header_mutation_extensions"]
    early["typed_config"]["mutations"].append({"remove": "x-user-id"})


def add_origins(manager: dict[str, Any], origins: Sequence[str]) -> None:
    """Let pages of these origins call the API (CORS). Without origins nothing is added: no page of another origin reads an answer.

    Call it after `add_tokens`: a preflight has no token.
    """
    if not origins:
        return
    config = {"@type": f"{_FILTERS}.cors.v3.Cors"}
    manager["http_filters"].insert(0, {"name": "envoy.filters.http.cors", "typed_config": config})
    matches = [{"safe_regex": {"regex": ".*"}} if o == "*" else {"exact": o} for o in origins]
    (host,) = manager["route_config"]["virtual_hosts"]
    host.setdefault("typed_per_filter_config", {})["envoy.filters.http.cors"] = {
        "@type": f"{_FILTERS}.cors.v3.CorsPolicy",
        "allow_origin_string_match": matches,
        "allow_methods": "GET,HEAD,POST,PUT,PATCH,DELETE",
        "allow_headers": _ALLOWED_HEADERS,
        "expose_headers": _SHOWN_HEADERS,
        "max_age": "600",
    }


def add_copies(
    configured: dict[str, Any],
    hosts: Mapping[str, Sequence[str]],
    *,
    one_at_a_time: Collection[str] = (),
) -> None:
    """Serve each service from copies of it on several hosts, at the port that the template has. A copy that isn't ready gets no requests.

    Requests to the services in `one_at_a_time` go to the first host that is ready: what these services keep in memory must not change from
    one request to the next.
    """
    for cluster in configured["static_resources"]["clusters"]:
        service = "feed" if cluster["name"] == "live" else cluster["name"]
        (locality,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = locality["lb_endpoints"]
        port = endpoint["endpoint"]["address"]["socket_address"]["port_value"]
        copies = [_endpoint(host, port) for host in hosts[service]]
        cluster["load_assignment"] = {
            "cluster_name": cluster["name"],
            "endpoints": [
                {"lb_endpoints": [copy], "priority": number} for number, copy in enumerate(copies)
            ]
            if service in one_at_a_time
            else [{"lb_endpoints": copies}],
        }
        cluster["health_checks"] = [
            {
                "timeout": "1s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/readyz"},
            }
        ]
    (virtual_host,) = connection_manager(configured)["route_config"]["virtual_hosts"]
    virtual_host["retry_policy"] |= {
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }


def _endpoint(host: str, port: int) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}


def written(configured: Mapping[str, Any]) -> str:
    """The text of a configuration file. JSON, which is YAML too."""
    return json.dumps(configured, indent=1)
