"""The Gateway does what the local Envoy does: the same routes, times, retries and answers of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import pytest
import yaml

from deploy.gateway.configure import BY_TICKET, add_tokens
from fanfold.core.settings import Settings
from fanfold.http.identity.open_identity import check_identity
from fanfold.http.limits import MAX_BODY_BYTES
from fanfold.http.problems import Misdirected, TooLarge, Unauthenticated
from tests.fuzz import services
from tests.support.k8s import Object, named, of_kind, rendered
from tests.support.k8s_schemas import ROOT

OF_THE_PAGE = ("/", "/web/main.js", "/ops/overview")
"""The page's service is for this machine, and for a development cluster by a forwarded port."""

STRANGE_PATHS = (
    "/docs",
    "/docs/more",
    "/docs/static",
    "/docs/static/docs.js",
    "/docs/staticfiles",
    "/metrics",
    "/readyz",
    "/openapi.json",
    "/openapi/all.json",
    "/posts",
    "/posts/",
    "/postscript",
    "/users",
    "/users/",
    "/usersandmore",
    "/users/alice/feeds",
    "/users/alice/feed/stream",
    "/users/alice/export",
    "/users/feed/feed",
    "/users/posts",
)


class Answer(NamedTuple):
    """The service that answers a path, its timeout, and the path that it is asked for."""

    who: str
    timeout: str
    rewritten: str | None


@pytest.fixture
def objects() -> tuple[Object, ...]:
    return rendered("prod")


@pytest.fixture
def local() -> dict[str, Any]:
    """The local Envoy's connection manager."""
    envoy = yaml.safe_load((ROOT / "deploy/gateway/envoy.yaml").read_text())
    (listener,) = envoy["static_resources"]["listeners"]
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return {**manager, "listener": listener, "clusters": envoy["static_resources"]["clusters"]}


async def served_paths() -> set[str]:
    """Each path that a service describes, with something in place of what varies."""
    found: set[str] = set()
    for serving in (services.post_service, services.graph_service, services.feed_service):
        async with serving() as app:
            found |= {re.sub(r"\{\w+\}", "alice", path) for path in app.openapi()["paths"]}
    return found


async def test_every_path_is_answered_by_the_same_service_in_the_same_time(
    objects: tuple[Object, ...], local: dict[str, Any]
) -> None:
    paths = {*STRANGE_PATHS, *await served_paths()}
    assert {path: by_gateway(objects, path) for path in paths} == {
        path: by_envoy(local, path) for path in paths
    }


def test_the_page_is_behind_the_local_envoy_and_in_a_development_cluster_alone(
    objects: tuple[Object, ...], local: dict[str, Any]
) -> None:
    for path in OF_THE_PAGE:
        assert by_envoy(local, path).who == "console-service"
        assert by_gateway(objects, path).who == "404"
        # What operators see is answered to this machine: by a forwarded port.
        published = "404" if path.startswith("/ops") else "console-service"
        assert by_gateway(rendered("dev"), path).who == published


def test_the_console_is_probed_by_a_name_that_it_serves() -> None:
    (container,) = named(rendered("dev"), "Deployment", "console-service")["spec"]["template"][
        "spec"
    ]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["httpHeaders"] == [
            {"name": "Host", "value": "localhost"}
        ]
    assert container["args"] == ["serve", "console"]


async def test_what_a_service_serves_to_users_reaches_that_service(
    objects: tuple[Object, ...],
) -> None:
    for name in ("post_service", "graph_service", "feed_service"):
        async with getattr(services, name)() as app:
            for path in app.openapi()["paths"]:
                if path not in {"/livez", "/readyz", "/metrics"}:
                    sample = re.sub(r"\{\w+\}", "alice", path)
                    assert by_gateway(objects, sample).who == name.replace("_", "-"), path


def by_envoy(local: Mapping[str, Any], path: str) -> Answer:
    """The first route that matches."""
    (host,) = local["route_config"]["virtual_hosts"]
    route = next(route for route in host["routes"] if _envoy_matches(route["match"], path))
    if "direct_response" in route:
        return Answer(str(route["direct_response"]["status"]), "", None)
    action = route["route"]
    # Live feeds have connections of their own to the same service.
    service = action["cluster"].replace("live", "feed")
    return Answer(f"{service}-service", action["timeout"], action.get("prefix_rewrite"))


def _envoy_matches(match: Mapping[str, Any], path: str) -> bool:
    if "headers" in match:
        return False  # the refusal of unknown hosts, which the Gateway leaves to its listener's hostname
    if "path" in match:
        return bool(path == match["path"])
    if "safe_regex" in match:
        return re.fullmatch(match["safe_regex"]["regex"], path) is not None
    if "path_separated_prefix" in match:
        return _below(match["path_separated_prefix"], path)
    return path.startswith(match["prefix"])


def _below(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def by_gateway(objects: tuple[Object, ...], path: str) -> Answer:
    """The rule that Envoy Gateway puts first: a whole path, a pattern, the longest prefix."""
    order = ("PathPrefix", "RegularExpression", "Exact")
    matching = [
        ((order.index(match["path"]["type"]), len(match["path"]["value"])), rule)
        for route in of_kind(objects, "HTTPRoute")
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
        if "queryParams" not in match and _rule_matches(match["path"], path)
    ]
    _, rule = max(matching, key=lambda match: match[0])
    filters = {route_filter["type"]: route_filter for route_filter in rule.get("filters", ())}
    if "ExtensionRef" in filters:
        direct = named(objects, "HTTPRouteFilter", filters["ExtensionRef"]["extensionRef"]["name"])
        return Answer(str(direct["spec"]["directResponse"]["statusCode"]), "", None)
    rewrite = filters.get("URLRewrite", {}).get("urlRewrite", {}).get("path", {})
    (backend,) = rule["backendRefs"]
    return Answer(backend["name"], rule["timeouts"]["request"], rewrite.get("replaceFullPath"))


def _rule_matches(match: Mapping[str, str], path: str) -> bool:
    match match["type"]:
        case "Exact":
            return path == match["value"]
        case "RegularExpression":
            return re.fullmatch(match["value"], path) is not None
    return _below(match["value"], path)


def test_the_same_routes_are_read_with_a_ticket(objects: tuple[Object, ...]) -> None:
    rules = named(objects, "HTTPRoute", "by-ticket")["spec"]["rules"]
    matches = [match for rule in rules for match in rule["matches"]]
    assert [match["path"]["value"] for match in matches] == list(BY_TICKET)
    for match, rule in zip(matches, rules, strict=True):
        assert match["method"] == "GET"
        (parameter,) = match["queryParams"]
        assert (parameter["name"], parameter["type"]) == ("ticket", "RegularExpression")
        # The same service, for the same time, as with a token.
        path = match["path"]["value"].replace("[^/]+", "alice")
        (backend,) = rule["backendRefs"]
        assert (backend["name"], rule["timeouts"]["request"]) == by_gateway(objects, path)[:2]
    manager: dict[str, Any] = {
        "early_header_mutation_extensions": [{"typed_config": {"mutations": []}}],
        "http_filters": [],
    }
    add_tokens(manager, issuer="issuer", audience="audience", key_set="{}")
    rules = manager["http_filters"][0]["typed_config"]["rules"]
    without = [rule["match"] for rule in rules if "requires_any" in rule["requires"]]
    assert [match["safe_regex"]["regex"] for match in without] == list(BY_TICKET)
    assert {match["query_parameters"][0]["name"] for match in without} == {"ticket"}


def test_no_path_has_two_patterns(objects: tuple[Object, ...]) -> None:
    """Of two patterns Envoy Gateway takes the longer, which is nobody's intention."""
    patterns = [
        match["path"]["value"]
        for route in of_kind(objects, "HTTPRoute")
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
        if match["path"]["type"] == "RegularExpression" and "queryParams" not in match
    ]
    for path in STRANGE_PATHS:
        assert sum(re.fullmatch(pattern, path) is not None for pattern in patterns) <= 1, path


def test_clients_are_bounded_alike(objects: tuple[Object, ...], local: dict[str, Any]) -> None:
    policy = named(objects, "ClientTrafficPolicy", "fanfold")["spec"]

    assert policy["timeout"]["http"] == {
        "requestReceivedTimeout": local["request_timeout"],
        "requestHeadersReceivedTimeout": local["request_headers_timeout"],
        "streamIdleTimeout": local["stream_idle_timeout"],
        "idleTimeout": local["common_http_protocol_options"]["idle_timeout"],
    }
    assert (
        policy["connection"]["bufferLimit"]
        == local["listener"]["per_connection_buffer_limit_bytes"]
    )
    assert local["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
    # Envoy Gateway would merge slashes; the local Envoy leaves them, because it isn't told to.
    assert "merge_slashes" not in local
    assert policy["path"] == {
        "escapedSlashesAction": "RejectRequest",
        "disableMergeSlashes": True,
    }


def quantity(written: str) -> int:
    """Bytes, of a number with a binary suffix."""
    return int(written[:-2]) * {"Ki": 2**10, "Mi": 2**20}[written[-2:]]


def test_http_2_and_bodies_are_bounded_alike(
    objects: tuple[Object, ...], local: dict[str, Any]
) -> None:
    http2 = named(objects, "ClientTrafficPolicy", "fanfold")["spec"]["http2"]
    assert local["http2_protocol_options"] == {
        "max_concurrent_streams": http2["maxConcurrentStreams"],
        "initial_stream_window_size": quantity(http2["initialStreamWindowSize"]),
        "initial_connection_window_size": quantity(http2["initialConnectionWindowSize"]),
    }
    buffered = named(objects, "BackendTrafficPolicy", "fanfold")["spec"]["requestBuffer"]["limit"]
    (buffer,) = (f for f in local["http_filters"] if f["name"] == "envoy.filters.http.buffer")
    assert buffer["typed_config"]["max_request_bytes"] == quantity(buffered) == MAX_BODY_BYTES


def test_headers_are_set_alike(objects: tuple[Object, ...], local: dict[str, Any]) -> None:
    headers = named(objects, "ClientTrafficPolicy", "fanfold")["spec"]["headers"]
    (early,) = local["early_header_mutation_extensions"]
    assert {(h["name"], h["value"]) for h in headers["earlyRequestHeaders"]["set"]} == {
        (m["append"]["header"]["key"], m["append"]["header"]["value"])
        for m in early["typed_config"]["mutations"]
    }
    # Nobody in front is trusted; the policy says so by saying nothing.
    assert (local["use_remote_address"], local["xff_num_trusted_hops"]) == (True, 0)
    assert "clientIPDetection" not in named(objects, "ClientTrafficPolicy", "fanfold")["spec"]
    late = headers["lateResponseHeaders"]
    actions = {"OVERWRITE_IF_EXISTS_OR_ADD": "set", "ADD_IF_ABSENT": "addIfAbsent"}
    here = {
        (actions[h["append_action"]], h["header"]["key"], h["header"]["value"])
        for h in local["route_config"]["response_headers_to_add"]
    }
    there = {(action, h["name"], h["value"]) for action in late for h in late[action]}
    # Browsers obey this one over TLS only, which the local gateway has not.
    assert there - here == {("set", "strict-transport-security", "max-age=31536000")}
    assert here <= there


UNITS = {"Second": "1s", "Minute": "60s", "Hour": "3600s"}


def test_rates_are_limited_alike(objects: tuple[Object, ...], local: dict[str, Any]) -> None:
    rules = named(objects, "BackendTrafficPolicy", "fanfold")["spec"]["rateLimit"]["local"]["rules"]
    (host,) = local["route_config"]["virtual_hosts"]
    limits = [
        route["typed_per_filter_config"]["envoy.filters.http.local_ratelimit"]
        for route in host["routes"]
        if "route" in route
    ]
    # Each route that leads to a service has them.
    assert all(found == limits[0] for found in limits)
    assert [_rule(rule) for rule in rules] == [
        _local_rule(*pair)
        for pair in zip(limits[0]["rate_limits"], limits[0]["descriptors"], strict=True)
    ]


def _rule(rule: Object) -> tuple[list[tuple[str, str]], int, str]:
    """What is counted apart or must match, the number, and the time."""
    (selector,) = rule["clientSelectors"]
    assert {header["type"] for header in selector["headers"]} == {"Distinct"}
    counted = [(header["name"], "") for header in selector["headers"]]
    counted += [(":method", method["value"]) for method in selector.get("methods", ())]
    if "path" in selector:
        assert selector["path"]["type"] == "RegularExpression"
        counted.append((":path", selector["path"]["value"]))
    return counted, rule["limit"]["requests"], UNITS[rule["limit"]["unit"]]


def _local_rule(limit: Object, descriptor: Object) -> tuple[list[tuple[str, str]], int, str]:
    counted = []
    for action, entry in zip(limit["actions"], descriptor["entries"], strict=True):
        if "request_headers" in action:
            assert entry == {"key": action["request_headers"]["descriptor_key"]}
            counted.append((action["request_headers"]["header_name"], ""))
            continue
        matched = action["header_value_match"]
        assert entry == {"key": matched["descriptor_key"], "value": matched["descriptor_value"]}
        (header,) = matched["headers"]
        wanted = header["string_match"]
        counted.append((header["name"], wanted.get("exact") or wanted["safe_regex"]["regex"]))
    bucket = descriptor["token_bucket"]
    assert bucket["tokens_per_fill"] == bucket["max_tokens"]
    return counted, bucket["max_tokens"], bucket["fill_interval"]


def test_services_are_asked_alike(objects: tuple[Object, ...], local: dict[str, Any]) -> None:
    policy = named(objects, "BackendTrafficPolicy", "fanfold")["spec"]
    (host,) = local["route_config"]["virtual_hosts"]
    retries = host["retry_policy"]

    assert policy["retry"]["retryOn"]["triggers"] == retries["retry_on"].split(",")
    assert policy["retry"]["numRetries"] == retries["num_retries"]
    back_off = policy["retry"]["perRetry"]["backOff"]
    assert _seconds(back_off["baseInterval"]) == _seconds(
        retries["retry_back_off"]["base_interval"]
    )
    assert _seconds(back_off["maxInterval"]) == _seconds(retries["retry_back_off"]["max_interval"])
    for cluster in local["clusters"]:
        (options,) = cluster["typed_extension_protocol_options"].values()
        idle = options["common_http_protocol_options"]["idle_timeout"]
        assert policy["timeout"]["http"]["connectionIdleTimeout"] == idle
        assert policy["timeout"]["tcp"]["connectTimeout"] == cluster["connect_timeout"]


def _seconds(written: str) -> float:
    found = re.fullmatch(r"([\d.]+)(ms|s)", written)
    assert found, written
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


def test_what_the_gateway_answers_itself_is_the_same_problem(
    objects: tuple[Object, ...], local: dict[str, Any]
) -> None:
    overrides = named(objects, "BackendTrafficPolicy", "fanfold")["spec"]["responseOverride"]
    # What a service answers is never touched.
    assert {override["source"] for override in overrides} == {"Local"}
    always = _late_fields(objects)
    by_gateway = {
        _status(override): _problem(override["response"], always) for override in overrides
    }
    no_route = named(objects, "HTTPRouteFilter", "no-such-route")["spec"]["directResponse"]
    by_gateway[no_route["statusCode"]] = _problem({**no_route, "statusCode": None})
    kind, title, *_ = by_gateway[401]
    assert (kind, title) == (f"urn:fanfold:problem:{Unauthenticated.kind}", Unauthenticated.title)
    kind, title, *_ = by_gateway[413]
    assert (kind, title) == (f"urn:fanfold:problem:{TooLarge.kind}", TooLarge.title)

    by_envoy = {
        _local_status(mapper): _local_problem(mapper)
        for mapper in local["local_reply_config"]["mappers"]
    }
    # A Gateway's names are its listener's: a host of another name reaches no route of it.
    kind, title, *_ = by_envoy.pop(Misdirected.status)
    assert (kind, title) == (f"urn:fanfold:problem:{Misdirected.kind}", Misdirected.title)
    # The filter of tokens sends it, and an answer that Envoy Gateway overrides loses it: tests/cluster/test_gateway.py.
    assert by_gateway[401][-1].pop("www-authenticate") == 'Bearer realm="fanfold"'
    assert by_gateway == by_envoy


def test_an_overridden_answer_has_the_fields_of_every_answer(objects: tuple[Object, ...]) -> None:
    """Envoy Gateway's overrides drop those that the policy of clients adds: tests/cluster/test_gateway.py."""
    always = _late_fields(objects)
    assert {"x-request-id", "x-content-type-options", "content-security-policy"} <= always.keys()
    for override in named(objects, "BackendTrafficPolicy", "fanfold")["spec"]["responseOverride"]:
        fields = override["response"]["header"]["set"]
        assert always.items() <= {field["name"]: field["value"] for field in fields}.items()
        assert "%REQ(X-REQUEST-ID)%" in override["response"]["body"]["inline"]


def _late_fields(objects: tuple[Object, ...]) -> dict[str, str]:
    late = named(objects, "ClientTrafficPolicy", "fanfold")["spec"]["headers"][
        "lateResponseHeaders"
    ]
    return {field["name"]: field["value"] for field in (*late["set"], *late["addIfAbsent"])}


def test_the_answer_to_an_unknown_path_is_not_overridden(objects: tuple[Object, ...]) -> None:
    """Envoy counts the direct response of a route among the answers of its own, `source: Local`."""
    overrides = named(objects, "BackendTrafficPolicy", "fanfold")["spec"]["responseOverride"]
    direct = named(objects, "HTTPRouteFilter", "no-such-route")["spec"]["directResponse"]
    overridden = {
        status
        for override in overrides
        for match in override["match"]["statusCodes"]
        for status in _statuses(match)
    }
    assert {*range(400, 600)} - overridden == {direct["statusCode"]}


def _statuses(match: Object) -> range:
    if match["type"] == "Value":
        return range(match["value"], match["value"] + 1)
    return range(match["range"]["start"], match["range"]["end"] + 1)


def _status(override: Object) -> int:
    """The lowest of them."""
    return min(min(_statuses(match)) for match in override["match"]["statusCodes"])


Problem = tuple[str, str, str, int | None, dict[str, str]]
"""Kind, title, detail, the status if it is changed, and the headers."""


def _problem(response: Object, always: Collection[str] = ()) -> Problem:
    assert response["contentType"] == "application/problem+json"
    # The status may stand for whatever it is.
    body = json.loads(response["body"]["inline"].replace("%RESPONSE_CODE%", "0"))
    fields = response.get("header", {}).get("set", ())
    headers = {h["name"]: h["value"] for h in fields if h["name"] not in always}
    return body["type"], body["title"], body["detail"], response.get("statusCode"), headers


def _local_status(mapper: Object) -> int:
    return int(mapper["filter"]["status_code_filter"]["comparison"]["value"]["default_value"])


def _local_problem(mapper: Object) -> Problem:
    body = mapper["body_format_override"]["json_format"]
    headers = {h["header"]["key"]: h["header"]["value"] for h in mapper.get("headers_to_add", ())}
    return body["type"], body["title"], body["detail"], mapper.get("status_code"), headers


def test_the_page_of_the_documentation_is_the_same(
    objects: tuple[Object, ...], local: dict[str, Any]
) -> None:
    (host,) = local["route_config"]["virtual_hosts"]
    (docs,) = (route for route in host["routes"] if route["match"].get("path") == "/docs")
    shown = named(objects, "ConfigMap", "gateway-docs")["data"]["response.body"]
    assert shown == docs["direct_response"]["body"]["inline_string"]


def test_the_same_is_written_to_the_access_log(
    objects: tuple[Object, ...], local: dict[str, Any]
) -> None:
    (settings,) = named(objects, "EnvoyProxy", "fanfold")["spec"]["telemetry"]["accessLog"][
        "settings"
    ]
    (log,) = local["access_log"]
    assert settings["format"]["json"] == log["typed_config"]["log_format"]["json_format"]
    # Every request.
    assert "filter" not in log
    assert "matches" not in settings
    assert {"request_id", "trace", "path"} <= settings["format"]["json"].keys()


def test_every_route_leads_to_a_service_and_every_policy_to_something_that_is_there(
    objects: tuple[Object, ...],
) -> None:
    (gateway,) = of_kind(objects, "Gateway")
    for route in of_kind(objects, "HTTPRoute"):
        assert route["spec"]["parentRefs"] == [{"name": gateway["metadata"]["name"]}]
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", ()):
                service = named(objects, "Service", backend["name"])
                assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
    for policy in of_kind(objects, "ClientTrafficPolicy", "BackendTrafficPolicy", "SecurityPolicy"):
        for target in policy["spec"]["targetRefs"]:
            named(objects, target["kind"], target["name"])
    named(objects, "EnvoyProxy", gateway["spec"]["infrastructure"]["parametersRef"]["name"])


def test_in_production_only_a_token_identifies_a_user(
    objects: tuple[Object, ...],
) -> None:
    """The gateway and every service verify it for themselves, by the same issuer; nothing reads the client's X-User-Id."""
    client = named(objects, "ClientTrafficPolicy", "fanfold")["spec"]
    assert client["headers"]["earlyRequestHeaders"]["remove"] == ["X-User-Id"]
    security = named(objects, "SecurityPolicy", "fanfold")["spec"]
    # Of requests with a ticket alone, the token is optional.
    by_ticket = named(objects, "SecurityPolicy", "by-ticket")["spec"]
    assert by_ticket["jwt"] == {"optional": True, **security["jwt"]}
    assert [target["name"] for target in by_ticket["targetRefs"]] == ["by-ticket"]
    (provider,) = security["jwt"]["providers"]
    # The user of the rate limits. The services don't read it, for they verify the token.
    assert provider["claimToHeaders"] == [{"claim": "sub", "header": "x-user-id"}]
    manager: dict[str, Any] = {
        "early_header_mutation_extensions": [{"typed_config": {"mutations": []}}],
        "http_filters": [],
    }
    add_tokens(manager, issuer="issuer", audience="audience", key_set="{}")
    (local_filter,) = manager["http_filters"]
    local_provider = local_filter["typed_config"]["providers"]["issuer"]
    assert [
        {"claim": claim["claim_name"], "header": claim["header_name"]}
        for claim in local_provider["claim_to_headers"]
    ] == provider["claimToHeaders"]
    assert [
        {"name": found["name"], "valuePrefix": found["value_prefix"]}
        for found in local_provider["from_headers"]
    ] == provider["extractFrom"]["headers"]
    assert "optional" not in security["jwt"]
    guarded = {target["name"] for target in security["targetRefs"]}
    assert guarded == {"post-service", "graph-service", "feed-service"}
    settings = read_settings_of(objects)
    assert settings.auth == "jwt"
    assert not settings.anyone_may_claim_any_user
    check_identity(settings)
    assert provider["issuer"] == settings.jwt_issuer
    assert provider["audiences"] == [settings.jwt_audience]
    assert provider["remoteJWKS"] == {
        "uri": settings.jwt_jwks_url,
        "cacheDuration": f"{settings.jwt_jwks_refresh_s:g}s",
    }
    (gateway,) = of_kind(objects, "Gateway")
    assert {listener["protocol"] for listener in gateway["spec"]["listeners"]} == {"HTTPS"}


def test_where_there_is_no_issuer_the_header_is_trusted_by_a_setting_that_says_so() -> None:
    settings = read_settings_of(rendered("dev"))
    assert (settings.auth, settings.anyone_may_claim_any_user) == ("header", True)
    check_identity(settings)


def read_settings_of(objects: tuple[Object, ...]) -> Settings:
    """The settings that every service gets."""
    (found,) = (
        config
        for config in of_kind(objects, "ConfigMap")
        if config["metadata"]["name"].startswith("fanfold-settings")
    )
    given = {name.removeprefix("FANFOLD_").lower(): value for name, value in found["data"].items()}
    return Settings.model_validate(given)
