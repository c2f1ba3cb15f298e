"""`docs/problems.md`: every type of problem document, made from the classes and from what is written here about each.

`python -m tests.support.problems_page` writes it; tests/unit/test_problems_page.py compares it.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import console_service
import fanfold.http
import feed_service
import graph_service
import post_service
from fanfold.http.problems import Problem

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "problems.md"
GATEWAY = ROOT / "deploy" / "gateway" / "envoy.yaml"

_INTRODUCTION = """# Problems

Every refusal and failure is a [problem document](https://www.rfc-editor.org/rfc/rfc9457): JSON with `type`, `title`, `status`, `detail` and `request_id`, and `errors` where a
part of the request is to change. Compare `type`, which is stable: it is `urn:fanfold:problem:` and one of the names below. The texts may change.

A 503 or a 429 has `Retry-After`, in seconds. A write that was answered 503 or 504 may have taken effect; repeated, it does no harm, and with an `Idempotency-Key` no second post
is created.

This page is made by `.venv/bin/python -m tests.support.problems_page`.
"""


class Outside(NamedTuple):
    """The status and the title of a problem that no class has."""

    status: int
    title: str


OUTSIDE = {
    "internal": Outside(500, "Internal error"),
    "no-such-route": Outside(404, "No such route"),
    "method-not-allowed": Outside(405, "Method not allowed"),
    "overloaded": Outside(503, "Overloaded"),
    "head-too-large": Outside(431, "Request Header Fields Too Large"),
    "too-many-connections": Outside(503, "Service Unavailable"),
    "unknown-transfer-coding": Outside(501, "Not Implemented"),
    "too-slow": Outside(408, "Request Timeout"),
    "service-away": Outside(503, "Service unavailable"),
    "timed-out": Outside(504, "Gateway timeout"),
    "rate-limited": Outside(429, "Too many requests"),
}
"""Problems of the server below the application, and of the gateway."""

MEANING = {
    "not-json": "The body is not one JSON object, or is nested too deeply. Send one JSON object.",
    "unauthenticated": "There is no credential, or not a valid one. Get a new token, or send exactly one.",
    "invalid-ticket": "The ticket is used, expired or unknown, is for another address, or was sent beside a token. Get a new one.",
    "forbidden": "The actor may not do this.",
    "missing-scope": "The token lacks the scope that `WWW-Authenticate` names. Get a token with it.",
    "operators-only": "This route is for requests from the server's own machine, or with a token that has the scope `fanfold:admin`.",
    "not-found": "There is nothing at this address.",
    "user-not-found": "The user has never registered nor written anything else, or has left.",
    "conflict": "This is not possible in the present state.",
    "body-too-large": "The body is larger than any request needs. Shorten it.",
    "unsupported-media-type": "The body is not sent as `application/json`, or it is compressed.",
    "unknown-host": "The `Host` is no name of this server. Its operator adds names by `FANFOLD_ALLOWED_HOSTS`.",
    "invalid": "A field or a parameter is wrong. `errors` says which, and what to change.",
    "too-many-requests": "This user has more open than one user may.",
    "not-now": "The server can't do this now. Retry.",
    "engine-away": "The log or the tables did not answer in time. Retry.",
    "keys-unknown": "The keys of the tokens' issuer have not been read yet. Retry.",
    "write-not-yet-visible": "A write of `Fanfold-After` is not in the tables yet. Retry.",
    "not-yourself": "The path names another user. Use your own user id.",
    "has-left": "The actor has left, which is final.",
    "not-ready": "The service can't do its work yet. For `/readyz` alone.",
    "clock-skewed": "The clock of the server is wrong, so it takes no writes. Retry: another process may take it.",
    "blocked": "There is a block between the two users. The answer doesn't say which of them made it.",
    "follows-too-many": "The user follows the maximum number of users. Unfollow someone first.",
    "mutes-too-many": "The user mutes the maximum number of users. Unmute someone first.",
    "blocks-too-many": "The user blocks the maximum number of users. Unblock someone first.",
    "too-many-changes": "The user has followed, muted or blocked the maximum number of different users over all time. Earlier ones can be chosen again.",
    "mutes-oneself": "A user can't mute oneself.",
    "blocks-oneself": "A user can't block oneself.",
    "follows-oneself": "A user can't follow oneself.",
    "not-your-feed": "A feed is for its own user alone.",
    "too-many-streams": "This process has the maximum number of live feeds open. Retry, or read the feed.",
    "too-many-of-your-streams": "This user has the maximum number of live feeds open. Close one.",
    "idempotency-key-reused": "The `Idempotency-Key` was sent with another body. Make a fresh key for each post.",
    "idempotency-key-in-flight": "A request with this `Idempotency-Key` is in progress. Wait, then send it again with the same key.",
    "post-not-found": "The post does not exist, is deleted, or is hidden from the actor.",
    "post-not-yet-visible": "A post with so young an id may not be in the tables yet. Retry; after a minute the answer is 404.",
    "not-your-post": "Only the author of the post may do this.",
    "internal": "A bug in the server. It has been logged under `request_id`.",
    "no-such-route": "There is no such route. `/openapi.json` has all of them.",
    "method-not-allowed": "The route does not have this method. `Allow` names those that it has.",
    "overloaded": "The server has as many requests as it can answer in time. Retry.",
    "head-too-large": "The request line and the header fields are too many or too long.",
    "too-many-connections": "The server has the maximum number of connections. Retry.",
    "not-http": "The request could not be parsed, could be read in two ways, or has not exactly one `Host`.",
    "unknown-transfer-coding": "The body has another `Transfer-Encoding` than `chunked`. Send it without one.",
    "too-slow": "The request did not arrive in time.",
    "service-away": "The gateway does not reach the service. Retry.",
    "timed-out": "The service did not answer the gateway in time. Retry.",
    "rate-limited": "Too many requests of this user or address. `Retry-After` says when to go on.",
}
"""When each happens, and what a client can do."""


def problems_page() -> str:
    """The page."""
    classes = {kind: Outside(found.status, found.title) for kind, found in _classes().items()}
    known = {**classes, **OUTSIDE}
    parts = [_INTRODUCTION]
    for kind, (status, title) in sorted(known.items(), key=lambda item: (item[1].status, item[0])):
        parts.append(f"## {kind}\n\n{status}, *{title}*. {MEANING[kind]}\n")
    return "\n".join(parts)


def kinds_in_the_code() -> set[str]:
    """The kinds of all classes, of what the server below the application answers, and of the gateway."""
    source = "".join(path.read_text() for path in sorted((ROOT / "fanfold" / "http").rglob("*.py")))
    literal = set(re.findall(r'kind="([a-z-]+)"', source))
    literal |= set(re.findall(r'Refusal\(HTTPStatus\.\w+, "([a-z-]+)"', source))
    literal |= set(re.findall(r'kind, title = "([a-z-]+)", ', source))
    gateway = set(re.findall(r"urn:fanfold:problem:([a-z-]+)", GATEWAY.read_text()))
    return set(_classes()) | literal | gateway


def _classes() -> dict[str, type[Problem]]:
    for package in (
        fanfold.http,
        post_service,
        graph_service,
        feed_service,
        console_service,
    ):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return {found.kind: found for found in _subclasses(Problem) if "kind" in vars(found)}


def _subclasses(parent: type[Problem]) -> Iterator[type[Problem]]:
    for child in parent.__subclasses__():
        # Another test may have made classes of its own.
        if (
            not child.__module__.startswith("tests.")
            and child.__module__.split(".")[0] != "fanout_service"
        ):
            yield child
            yield from _subclasses(child)


if __name__ == "__main__":
    PAGE.write_text(problems_page())
