"""Each limit and each refusal of the gateway, seen through the real Envoy."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.gateway.configure import add_origins, add_tokens
from fanfold.http.problems import TooLarge, Unauthenticated
from tests.api.test_ops import an_app, asked
from tests.support.gateway import Gateway, a_gateway
from tests.support.tokens import AUDIENCE, ISSUER, a_token, claims, key_set, private_key, signed

APP = "https://app.example"
INTERNAL = (
    "/metrics",
    "/livez",
    "/readyz",
    "/openapi/all.json",
    "/internal",
    "/posts/../metrics",
    "/posts/%2e%2e/metrics",
    "/users/alice/../../readyz",
    "//metrics",
    "/metrics/",
    "/metrics?x=/posts",
    "/Posts",
    "/postscript",
)
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "frame-ancestors 'none'",
}


def as_make_up(configured: dict[str, Any], manager: dict[str, Any]) -> None:
    del configured
    for limit in limits_of(manager)["descriptors"]:
        a_minute(limit["token_bucket"])
    add_tokens(manager, issuer=ISSUER, audience=AUDIENCE, key_set=key_set().decode())
    add_origins(manager, [APP])


def a_minute(bucket: dict[str, Any]) -> None:
    """A tenth of a limit a minute: a machine that is busy could not reach the whole."""
    if bucket["fill_interval"] == "60s":
        bucket.update({name: bucket[name] // 10 for name in ("max_tokens", "tokens_per_fill")})


def quick(configured: dict[str, Any], manager: dict[str, Any]) -> None:
    """Without tokens and origins, behind PROXY protocol, and with limits that a test can wait for."""
    (listener,) = configured["static_resources"]["listeners"]
    kind = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
    proxied = {"@type": kind, "allow_requests_without_proxy_protocol": True}
    listener["listener_filters"] = [
        {"name": "envoy.filters.listener.proxy_protocol", "typed_config": proxied}
    ]
    manager.update(request_timeout="1s", request_headers_timeout="1s")
    by_address = limits_of(manager)["descriptors"][1]
    assert [entry["key"] for entry in by_address["entries"]] == ["address"]
    by_address["token_bucket"].update(max_tokens=20, tokens_per_fill=20)


def limits_of(manager: dict[str, Any]) -> dict[str, Any]:
    """The limits of each route that leads to a service. They are one object, written once for all routes."""
    (host,) = manager["route_config"]["virtual_hosts"]
    name = "envoy.filters.http.local_ratelimit"
    first, *others = (
        route["typed_per_filter_config"][name] for route in host["routes"] if "route" in route
    )
    assert all(limits is first for limits in others)
    found: dict[str, Any] = first
    return found


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with a_gateway(tmp_path_factory.mktemp("gateway"), as_make_up) as running:
        yield running


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with a_gateway(tmp_path_factory.mktemp("bare"), quick) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway.url, timeout=20) as opened:
        yield opened


@pytest.fixture
def user() -> str:
    """A user with all requests of a minute left."""
    return f"user-{uuid.uuid4().hex[:12]}"


def token_of(user_id: str, **changed: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {a_token(user_id, now_s=time.time(), **changed)}"}


def problem(answer: httpx2.Response) -> str:
    """The kind of the problem that an answer is."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    assert set(document) == {"type", "title", "status", "detail", "request_id"}
    assert document["request_id"] == answer.headers.get("x-request-id")
    return str(document["type"].removeprefix("urn:fanfold:problem:"))


def reached_by(gateway: Gateway, mark: str) -> list[Any]:
    return [request for request in gateway.reached if mark in request.path]


# Tokens


def test_a_token_names_the_user_of_the_limits_and_reaches_the_service(
    gateway: Gateway, client: httpx2.Client, user: str
) -> None:
    headers = {**token_of(user), "X-User-Id": "somebody-else", "X-Fanfold-Address": "10.0.0.1"}
    assert client.get(f"/users/{user}", headers=headers).status_code == 200
    (request,) = reached_by(gateway, user)
    assert request.headers["authorization"] == headers["Authorization"]
    assert request.headers["x-user-id"] == user
    assert request.headers["x-fanfold-address"] == "127.0.0.1/32"


def test_what_no_issuer_has_signed_reaches_no_service(
    gateway: Gateway, client: httpx2.Client, user: str
) -> None:
    now_s = time.time()
    wrong = {
        "none": {},
        "a user id alone": {"X-User-Id": user},
        "another key": {
            "Authorization": f"Bearer {signed(claims(user, now_s=now_s), key=private_key('ES256', 'another'))}"
        },
        "expired": token_of(user, exp=int(now_s) - 120),
        "another audience": token_of(user, aud="other"),
        "another issuer": token_of(user, iss="https://other.example/"),
        "nonsense": {"Authorization": "Bearer nonsense"},
        "another scheme": {"Authorization": "Basic YTpi"},
    }
    for name, headers in wrong.items():
        for path in (f"/users/{user}", f"/users/{user}/feed", f"/users/{user}/export", "/posts"):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401, name
            assert problem(answer) == Unauthenticated.kind
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert reached_by(gateway, user) == []


def test_a_ticket_reaches_its_two_routes_without_a_token_and_no_other(
    gateway: Gateway, client: httpx2.Client, user: str
) -> None:
    ticket = {"ticket": "x" * 43}
    for path in (f"/users/{user}/feed/stream", f"/users/{user}/export"):
        answer = client.get(path, params={**ticket, "limit": "5"})
        assert answer.status_code == 200, path
    assert [request.path for request in reached_by(gateway, user)] == [
        f"/users/{user}/{path}?ticket={'x' * 43}&limit=5" for path in ("feed/stream", "export")
    ]
    # Nobody chooses whose limits count.
    assert all("x-user-id" not in request.headers for request in reached_by(gateway, user))
    assert client.get(f"/users/{user}/export", params=ticket, headers=token_of(user)).is_success
    before = len(reached_by(gateway, user))
    refused: list[tuple[str, str, dict[str, str]]] = [
        ("GET", path, {})
        for path in (
            *(f"/users/{user}{rest}" for rest in ("", "/feed", "/feed/new", "/posts", "/muted")),
            *(f"/users/{user}/feed/stream/ticket", f"/users/{user}/export/ticket"),
            *(f"/users/{user}/feed/stream/", f"/users/{user}/exports", "/posts", "/users"),
        )
    ]
    refused += [
        (method, f"/users/{user}/{path}", {})
        for method in ("POST", "PUT", "DELETE")
        for path in ("export", "feed/stream", "export/ticket", "feed/stream/ticket")
    ]
    # Nor does a ticket make a wrong token right.
    refused += [("GET", f"/users/{user}/export", {"Authorization": "Bearer nonsense"})]
    for method, path, headers in refused:
        answer = client.request(method, path, params=ticket, headers=headers)
        assert answer.status_code == 401, f"{method} {path}"
        assert problem(answer) == Unauthenticated.kind
    assert len(reached_by(gateway, user)) == before
    empty = client.get(f"/users/{user}/export?tickets=1")
    assert empty.status_code == 401


def test_a_token_in_a_query_is_no_credential(
    gateway: Gateway, client: httpx2.Client, user: str
) -> None:
    token = a_token(user, now_s=time.time())
    for name in ("access_token", "token", "jwt", "Authorization"):
        answer = client.get(f"/users/{user}/feed/stream", params={name: token})
        assert answer.status_code == 401, name
    assert reached_by(gateway, user) == []


def test_the_documentation_needs_no_token(client: httpx2.Client) -> None:
    for path in ("/docs", "/openapi.json"):
        assert client.get(path).status_code == 200, path


# What is published


def test_there_is_no_way_to_what_is_internal(gateway: Gateway, user: str) -> None:
    before = len(gateway.reached)
    for path in INTERNAL:
        status, kind = raw(gateway, path, token_of(user))
        assert (status, kind) == (404, "no-such-route"), path
    for path in ("/posts/..%2fmetrics", "/users/a%2f..%2f..%2fmetrics", "/posts/..%5cmetrics"):
        assert raw(gateway, path, token_of(user))[0] == 400, path
    assert len(gateway.reached) == before


def raw(
    gateway: Gateway, path: str, headers: dict[str, str], first: bytes = b""
) -> tuple[int, str]:
    """The status and the kind of the answer to a path that no client library would send."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=15) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"
        connection.sendall(first + request.encode())
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    kind = json.loads(body).get("type", "") if b"problem+json" in head else ""
    return int(head.split()[1]), kind.removeprefix("urn:fanfold:problem:")


def test_a_host_of_another_name_is_refused(client: httpx2.Client, user: str) -> None:
    answer = client.get("/posts", headers={**token_of(user), "Host": "evil.example"})
    assert (answer.status_code, problem(answer)) == (421, "unknown-host")


# Bounds


def test_a_large_body_and_a_large_head_reach_no_service(
    gateway: Gateway, client: httpx2.Client, user: str
) -> None:
    headers = token_of(user)
    fits = client.post(f"/posts/{user}", content=b"x" * 65_536, headers=headers)
    assert fits.status_code == 200
    (request,) = reached_by(gateway, user)
    assert len(request.body) == 65_536
    large = client.post(f"/posts/{user}", content=b"x" * 65_537, headers=headers)
    assert (large.status_code, problem(large)) == (413, TooLarge.kind)
    pieces = client.post(f"/posts/{user}", content=iter([b"x" * 40_000] * 2), headers=headers)
    assert (pieces.status_code, problem(pieces)) == (413, TooLarge.kind)
    head = client.get(f"/posts/{user}", headers={**headers, "X-Large": "x" * 33_000})
    assert (head.status_code, problem(head)) == (431, "not-http")
    many = client.get(f"/posts/{user}", headers={**headers, **{f"X-{n}": "" for n in range(101)}})
    assert (many.status_code, problem(many)) == (431, "not-http")
    assert len(reached_by(gateway, user)) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /posts HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST /posts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",
    ],
    ids=["head", "body"],
)
def test_a_client_that_never_ends_its_request_is_let_go(bare: Gateway, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", bare.port), timeout=15) as connection:
        connection.sendall(sent)
        assert connection.makefile("rb").readline().split()[1] == b"408"


# Rate limits


def refused_after(client: httpx2.Client, method: str, path: str, headers: dict[str, str]) -> int:
    """The number of requests until one is refused; the refusal says what to do."""
    for count in range(500):
        answer = client.request(method, path, headers=headers)
        if answer.status_code == 429:
            assert problem(answer) == "rate-limited"
            assert answer.headers["retry-after"] == "10"
            assert re.match(r"\d+", answer.headers["x-ratelimit-limit"])
            assert answer.headers["x-ratelimit-remaining"] == "0"
            assert int(answer.headers["x-ratelimit-reset"]) > 0
            assert answer.headers.items() >= SECURITY.items()
            return count
        assert answer.status_code == 200, answer.text
        assert int(answer.headers["x-ratelimit-remaining"]) >= 0
    raise AssertionError("no limit")


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/posts", 12),
        ("GET", "/users/{user}/feed/stream", 3),
        ("GET", "/users/{user}/feed/stream?limit=5", 3),
        ("GET", "/users/{user}/export", 5),
        ("GET", "/users/{user}/feed", 60),
    ],
)
def test_each_limit_of_a_user_is_reached_and_is_that_users_alone(
    client: httpx2.Client, user: str, method: str, path: str, limit: int
) -> None:
    began_s = time.monotonic()
    count = refused_after(client, method, path.format(user=user), token_of(user))
    # The bucket fills while it is emptied.
    refilled = limit * (time.monotonic() - began_s) / (3600 if limit == 5 else 60)
    assert limit <= count <= limit + refilled + 1
    # Another token of the same user does not help; another user is not concerned.
    tokens = [token_of(user, jti=str(n)) for n in range(10)]
    again = [client.request(method, path.format(user=user), headers=token) for token in tokens]
    assert 429 in {answer.status_code for answer in again}
    other = client.request(method, path.format(user=f"{user}-2"), headers=token_of(f"{user}-2"))
    assert other.status_code == 200


def from_address(gateway: Gateway, address: str, count: int = 1) -> list[int]:
    """The statuses of so many requests from an address."""
    family = "TCP6" if ":" in address else "TCP4"
    here = "::1" if ":" in address else "127.0.0.1"
    first = f"PROXY {family} {address} {here} 40000 80\r\n".encode()
    # A header that names another address changes nothing: nobody in front is trusted.
    headers = {"X-Forwarded-For": str(uuid.uuid4()), "X-Fanfold-Address": "10.9.9.9/32"}
    return [raw(gateway, "/posts", headers, first)[0] for _ in range(count)]


def test_an_address_has_a_limit_and_an_ipv6_network_of_64_bits_is_one_address(
    bare: Gateway,
) -> None:
    assert from_address(bare, "192.0.2.1", 20) == [200] * 20
    assert 429 in from_address(bare, "192.0.2.1", 5)
    assert from_address(bare, "192.0.2.2") == [200]
    network = [from_address(bare, f"2001:db8:1:2::{n:x}")[0] for n in range(1, 26)]
    assert network[:20] == [200] * 20
    assert 429 in network[20:]
    assert from_address(bare, "2001:db8:1:3::1") == [200]


# Other origins


def preflight(client: httpx2.Client, origin: str) -> httpx2.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return client.options("/posts", headers=asked)


def test_only_the_listed_origins_may_call_the_api(client: httpx2.Client, user: str) -> None:
    allowed = preflight(client, APP)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == APP
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed.headers
    answer = client.get("/posts", headers={**token_of(user), "Origin": APP})
    assert answer.headers["access-control-allow-origin"] == APP
    assert "fanfold-position" in answer.headers["access-control-expose-headers"]
    for other in ("https://evil.example", f"{APP}.evil.example", "http://app.example", "null"):
        assert "access-control-allow-origin" not in preflight(client, other).headers
        answer = client.get("/posts", headers={**token_of(user), "Origin": other})
        assert "access-control-allow-origin" not in answer.headers


def test_without_listed_origins_no_page_may_call_it(bare: Gateway) -> None:
    with httpx2.Client(base_url=bare.url, timeout=20) as client:
        for origin in (APP, "null", "http://localhost:3000"):
            answers = [preflight(client, origin), client.get("/posts", headers={"Origin": origin})]
            for answer in answers:
                assert not [n for n in answer.headers if n.startswith("access-control")]


# Answers


def test_every_answer_has_the_security_headers_and_a_request_id(
    gateway: Gateway, client: httpx2.Client, user: str
) -> None:
    headers = token_of(user)
    answers = [
        client.get(f"/users/{user}", headers=headers),
        client.get("/docs"),
        client.get("/metrics"),
        client.get("/posts"),
        client.get("/posts", headers={**headers, "Host": "evil.example"}),
        client.post("/posts", content=b"x" * 70_000, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 401, 421, 413]
    for answer in answers:
        assert answer.headers.items() >= SECURITY.items(), answer.status_code
        assert len(answer.headers["x-request-id"]) == 36
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("x-envoy")]
    (request,) = reached_by(gateway, user)
    assert request.headers["x-request-id"] == answers[0].headers["x-request-id"]


@pytest.mark.parametrize("path", ["/", "/web/main.js", "/ops", "/ops/overview"])
def test_the_page_and_what_operators_see_lead_to_the_console_alone(
    gateway: Gateway, client: httpx2.Client, path: str
) -> None:
    answer = client.get(path)
    (line,) = gateway.lines(answer.headers["x-request-id"])
    assert (line["status"], line["service"]) == (200, "console")


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("192.0.2.9", 403)])
async def test_the_console_knows_through_the_gateway_who_asks_from_this_machine(
    bare: Gateway, address: str, status: int
) -> None:
    path = f"/ops/work?mark={uuid.uuid4()}"
    claims = {"X-Forwarded-For": "127.0.0.1", "X-Fanfold-Address": "127.0.0.1/32"}
    first = f"PROXY TCP4 {address} 127.0.0.1 40000 80\r\n".encode()
    assert await asyncio.to_thread(lambda: raw(bare, path, claims, first)[0]) == 200
    (request,) = reached_by(bare, path)
    assert (await asked(an_app(), **request.headers)).status_code == status


def test_every_request_is_in_the_access_log_without_its_query(
    gateway: Gateway, client: httpx2.Client, user: str
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = "11111111-1111-1111-1111-111111111111"
    headers = {**token_of(user), "traceparent": trace, "X-Request-Id": given}
    answer = client.get(f"/users/{user}/feed?cursor=secret-of-{user}", headers=headers)
    request_id = answer.headers["x-request-id"]
    # A client from outside does not choose it.
    assert request_id != given
    (line,) = gateway.lines(request_id)
    assert line["path"] == f"/users/{user}/feed"
    assert (line["method"], line["status"], line["service"]) == ("GET", 200, "feed")
    assert (line["request_id"], line["trace"]) == (request_id, trace)
    text = gateway.log.read_text()
    assert f"secret-of-{user}" not in text
    assert headers["Authorization"].removeprefix("Bearer ") not in text


def test_a_service_that_is_away_is_a_problem_that_says_when_to_retry(tmp_path: Path) -> None:
    with a_gateway(tmp_path, as_make_up, away=True) as gateway:
        answer = httpx2.get(f"{gateway.url}/posts", headers=token_of("alice"), timeout=20)
    assert (answer.status_code, problem(answer)) == (503, "service-away")
    assert answer.headers["retry-after"] == "1"


def test_http_2_is_spoken_too(gateway: Gateway, user: str) -> None:
    authorization = f"Authorization: {token_of(user)['Authorization']}"
    done = subprocess.run(
        ["curl", "-s", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
         "-H", authorization, f"{gateway.url}/users/{user}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "2 200"
