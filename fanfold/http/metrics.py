"""What every service counts, for Prometheus: requests, and the state of the issuer's keys."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfold.core.metric_labels import start_at_zero

# A label must have few values, but a client may send any method and any path.
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_NO_ROUTE = "(none)"
_FAILURES = (str(HTTPStatus.INTERNAL_SERVER_ERROR), str(HTTPStatus.SERVICE_UNAVAILABLE))

# Each would be a second series for every counter and histogram.
disable_created_metrics()  # type: ignore[no-untyped-call]

REQUESTS = Counter(
    "fanfold_http_requests_total",
    "Requests answered, by method, route template and status.",
    ["method", "route", "status"],
)
# The name and the labels of OpenTelemetry's conventions, without the status: a scrape takes 15 µs of the event loop for each series.
DURATION = Histogram(
    "http_server_request_duration_seconds",
    "From a request's first byte to the answer's last, by method and route template.",
    ["http_request_method", "http_route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
# Here, so that each service has them, and not only those that verify tokens.
ISSUER_FETCHES = Counter(
    "fanfold_issuer_key_fetches",
    "Fetches of the keys of the tokens' issuer, by result: ok or failed.",
    ["result"],
)
start_at_zero(ISSUER_FETCHES, ("ok", "failed"))
ISSUER_KEYS_AGE = Gauge(
    "fanfold_issuer_keys_age_seconds",
    "Time since the issuer's keys were last fetched, or since the start while they never were; above FANFOLD_JWT_JWKS_MAX_AGE_S every token is answered 503. "
    "0 where no keys are fetched.",
)


def start_requests_at_zero(routes: Iterable[Route]) -> None:
    """Count the successes and the failures of these routes from 0 on."""
    for route in routes:
        success = getattr(route, "status_code", None) or HTTPStatus.OK
        for method in (route.methods or set()) - {"HEAD"}:
            start_at_zero(REQUESTS, (method,), (route.path,), (str(int(success)), *_FAILURES))


def exposed() -> str:
    """All metrics of this process in the Prometheus text format."""
    return generate_latest().decode()


def exposition() -> Response:
    """The same as an answer."""
    return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})


class Metrics:
    """ASGI middleware: counts and times every request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", _NO_ROUTE)
            _requests(method, route, status).inc()
            _duration(method, route).observe(time.perf_counter() - started)


# Finding them by their labels takes as long as counting.


@cache
def _requests(method: str, route: str, status: int) -> Counter:
    return REQUESTS.labels(method, route, status)


@cache
def _duration(method: str, route: str) -> Histogram:
    return DURATION.labels(method, route)
