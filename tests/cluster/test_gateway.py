"""The gateway of production as a real Envoy Gateway makes it: routes, its own answers, tokens, rates, and traffic through changes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.k8s_cluster import (
    NAMESPACE,
    Cluster,
    a_pod,
    rolled_out,
    stand_ins,
)
from tests.support.k8s_gateway import (
    HOST,
    KEYS_FOR_S,
    Answer,
    Gateway,
    replace_a_proxy,
    restart_the_proxies,
    running_gateway,
)
from tests.support.probes import wait_until
from tests.support.tokens import (
    ISSUER,
    a_token,
    claims,
    key_set,
    private_key,
    public_jwk,
    signed,
)

CLIENTS = "clients"
POST = "/posts/019ad0a0-0000-7000-8000-000000000000"


# As authentication.yaml and issuer.env name them.
OURS = {"iss": "https://identity.example.com/", "aud": "fanfold"}


def token(subject: str = "alice") -> str:
    return a_token(subject, now_s=time.time(), **OURS)


def token_of(key: str) -> str:
    """Signed by that key of the issuer, whose `kid` is its name."""
    return signed(
        claims(now_s=time.time(), **OURS), key=private_key("ES256", key), headers={"kid": key}
    )


def public(key: str) -> dict[str, Any]:
    return public_jwk("ES256", key, kid=key)


@pytest.fixture(scope="module")
def gateway(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("gateway")
    with stand_ins(cluster), running_gateway(cluster, directory) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/posts", "post-service"),
        (POST, "post-service"),
        ("/users/alice/feed", "feed-service"),
        ("/users/alice/feed/new", "feed-service"),
        ("/users/alice/feed/stream", "feed-service"),
        ("/users/alice/feed/stream/ticket", "feed-service"),
        ("/users/alice/posts", "feed-service"),
        ("/users/alice", "graph-service"),
        ("/users/alice/following/bob", "graph-service"),
        ("/users/alice/export", "graph-service"),
    ],
)
def test_a_path_reaches_its_service_with_the_user_of_the_token(
    gateway: Gateway, path: str, service: str
) -> None:
    claimed = ("--header", "X-User-Id: bob")
    answer = gateway.ask(path, token=token(), options=claimed)

    assert answer.status == 200, answer
    pod, asked, user = answer.body.split()
    assert (pod.rsplit("-", 2)[0], asked, user) == (service, path, "alice")
    assert answer.headers["x-content-type-options"] == ["nosniff"]
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/nothing", "/metrics", "/readyz", "/ops/overview", "/"])
def test_an_unknown_path_is_no_such_route_and_needs_no_token(gateway: Gateway, path: str) -> None:
    answer = gateway.ask(path)
    assert (answer.status, answer.problem()) == (404, "no-such-route")


def test_the_description_needs_no_token(gateway: Gateway) -> None:
    assert gateway.ask("/openapi.json").body.split()[1:] == ["/openapi/all.json"]
    page = gateway.ask("/docs")
    assert (page.status, page.headers["content-type"]) == (200, ["text/html; charset=utf-8"])


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "nonsense",
        signed(claims(now_s=time.time(), **OURS), key=private_key("ES256", "another's")),
        a_token(now_s=time.time(), **{**OURS, "aud": "another"}),
        a_token(now_s=time.time(), **{**OURS, "iss": ISSUER}),
        a_token(now_s=time.time() - 86_400, **OURS),
    ],
    ids=["none", "malformed", "key", "audience", "issuer", "expired"],
)
def test_a_wrong_token_reaches_no_service(gateway: Gateway, wrong: str | None) -> None:
    answer = gateway.ask(POST, token=wrong)
    assert (answer.status, answer.problem()) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"][0].startswith('Bearer realm="fanfold"')
    assert_like_every_answer(answer)


def test_a_token_in_the_query_is_none(gateway: Gateway) -> None:
    assert gateway.ask(f"{POST}?access_token={token()}").status == 401


def test_a_ticket_needs_no_token_and_a_wrong_token_beside_it_is_refused(gateway: Gateway) -> None:
    path = "/users/alice/feed/stream?ticket=t"
    assert gateway.ask(path).status == 200
    assert gateway.ask(path, token="nonsense").status == 401


def test_a_large_body_is_a_problem_document(gateway: Gateway) -> None:
    large = ("--data-binary", "x" * 70_000)
    answer = gateway.ask("/posts", token=token(), options=large)
    assert (answer.status, answer.problem()) == (413, "body-too-large")
    assert_like_every_answer(answer)


def test_what_is_refused_before_a_route_is_found_has_no_body(gateway: Gateway) -> None:
    """Envoy Gateway overrides answers of routes alone."""
    answer = gateway.ask("/users/a%2Fb", token=token())
    assert (answer.status, answer.body) == (400, "")


def assert_like_every_answer(answer: Answer) -> None:
    """An answer of the gateway's own has the fields that every answer has, and the id that its log has."""
    (request_id,) = answer.headers["x-request-id"]
    assert json.loads(answer.body)["request_id"] == request_id
    assert answer.headers["x-content-type-options"] == ["nosniff"]
    assert answer.headers["content-security-policy"] == ["frame-ancestors 'none'"]


def test_a_user_who_asks_too_often_is_told_when_to_come_back_and_others_are_served(
    gateway: Gateway,
) -> None:
    path = "/users/carol/feed/stream/ticket"
    post = ("--request", "POST")
    # Thirty a minute at each of two proxies.
    answers = gateway.ask_often(path, token=token("carol"), options=post, times=100)

    served = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(served) + len(refused) == 100
    assert 30 <= len(served) <= 62
    assert {answer.problem() for answer in refused} == {"rate-limited"}
    assert {tuple(answer.headers["retry-after"]) for answer in refused} == {("10",)}
    assert all("x-ratelimit-remaining" in answer.headers for answer in served)
    for answer in refused:
        assert_like_every_answer(answer)
    assert gateway.ask(path, token=token("dave"), options=post).status == 200


def test_a_service_without_pods_is_a_problem_document(gateway: Gateway) -> None:
    scale = ("--namespace", NAMESPACE, "scale", "deployment/graph-service")
    gateway.cluster.kubectl(*scale, "--replicas=0")
    gateway.cluster.kubectl(
        *("--namespace", NAMESPACE, "wait", "pods", "--for=delete", "--timeout=120s"),
        *("--selector", "app.kubernetes.io/name=graph-service"),
    )
    answer = gateway.ask("/users/alice", token=token())
    gateway.cluster.kubectl(*scale, "--replicas=3")
    rolled_out(gateway.cluster, "graph-service")

    assert (answer.status, answer.problem()) == (503, "service-away")
    assert answer.headers["retry-after"] == ["1"]


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[str]:
    """A pod that asks as a client does."""
    gateway.cluster.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CLIENTS}},
            a_pod("client", CLIENTS, {}),
        ]
    )
    gateway.cluster.kubectl(
        "--namespace", CLIENTS, "wait", "pod/client", "--for=condition=Ready", "--timeout=60s"
    )
    yield "client"
    gateway.cluster.kubectl("delete", "namespace", CLIENTS)


def asking(
    gateway: Gateway, client: str, *, bearer: str | None = None, seconds: int = 90
) -> AbstractContextManager[list[str]]:
    """Requests of the client with a token, as long as that."""
    return gateway.cluster.asking(
        *(CLIENTS, client, f"https://{HOST}{POST}"),
        *(f"{gateway.address}:443", f"Authorization:Bearer {bearer or token()}"),
        seconds=seconds,
    )


def test_a_rollout_behind_the_gateway_fails_no_request(gateway: Gateway, client: str) -> None:
    with asking(gateway, client) as answered:
        gateway.cluster.kubectl(
            *("--namespace", NAMESPACE, "set", "env", "deployment/post-service", "VERSION=2")
        )
        rolled_out(gateway.cluster, "post-service")

    assert answered == ["200"]


def test_a_restart_of_the_proxies_fails_no_request(gateway: Gateway, client: str) -> None:
    with asking(gateway, client) as answered:
        restart_the_proxies(gateway.cluster)

    assert answered == ["200"]


def test_new_keys_of_the_issuer_are_fetched_and_removed_ones_refused_and_no_request_fails(
    gateway: Gateway, client: str
) -> None:
    old, new = token_of("old"), token_of("new")
    gateway.issuer.keys = key_set(public("old"))
    answers(gateway, old, {200})
    assert gateway.ask_every_proxy(POST, token=new) == {401}

    with asking(gateway, client, bearer=old, seconds=20) as answered_old:
        gateway.issuer.keys = key_set(public("old"), public("new"))
        answers(gateway, new, {200})
    with asking(gateway, client, bearer=new, seconds=20) as answered_new:
        gateway.issuer.keys = key_set(public("new"))
        answers(gateway, old, {401})

    assert (answered_old, answered_new) == (["200"], ["200"])


def test_keys_stay_in_use_while_the_issuer_is_away(gateway: Gateway, client: str) -> None:
    known = token_of("known")
    gateway.issuer.keys = key_set(public("known"))
    answers(gateway, known, {200})

    gateway.issuer.stop()
    with asking(gateway, client, bearer=known, seconds=4 * KEYS_FOR_S) as answered:
        pass
    gateway.issuer.keys = key_set(public("known"), public("newer"))
    gateway.issuer.start()

    assert answered == ["200"]
    answers(gateway, token_of("newer"), {200})


def test_a_proxy_that_starts_while_the_issuer_is_away_refuses_every_token(gateway: Gateway) -> None:
    known = token_of("known")
    gateway.issuer.keys = key_set(public("known"))
    answers(gateway, known, {200})

    gateway.issuer.stop()
    replace_a_proxy(gateway.cluster)
    assert gateway.ask_every_proxy(POST, token=known) == {200, 401}
    gateway.issuer.start()
    answers(gateway, known, {200})


def answers(gateway: Gateway, bearer: str, statuses: set[int]) -> None:
    """Every proxy comes to answer such a token so."""
    assert wait_until(
        lambda: gateway.ask_every_proxy(POST, token=bearer) == statuses,
        within_s=60,
        gone=lambda: False,
    ), statuses


def test_every_object_of_the_gateway_is_accepted(gateway: Gateway) -> None:
    conditions = {
        f"{found['kind']} {found['metadata']['name']}": _accepted(found)
        for kind in (
            "gateways",
            "httproutes",
            "securitypolicies",
            "clienttrafficpolicies",
            "backendtrafficpolicies",
        )
        for found in gateway.cluster.get(NAMESPACE, kind)
    }
    assert set(conditions.values()) == {True}, json.dumps(conditions)


def _accepted(found: dict[str, object]) -> bool:
    status = json.loads(json.dumps(found["status"]))
    holders = status.get("parents") or status.get("ancestors") or [status]
    return all(
        condition["status"] == "True"
        for holder in holders
        for condition in holder["conditions"]
        if condition["type"] in ("Accepted", "Programmed", "ResolvedRefs")
    )
