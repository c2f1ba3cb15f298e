"""The application that every service makes, and how it is served."""

from __future__ import annotations

import gc
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from http import HTTPStatus

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Scope

from fanfold.core import tracing
from fanfold.core.errors import Transient
from fanfold.core.settings import Settings
from fanfold.http.admission import ALWAYS_ADMITTED, Admission
from fanfold.http.answers import EndsWithClient, Head, KnownHosts, Private
from fanfold.http.compression import Compression
from fanfold.http.direct_routes import DirectRoutes
from fanfold.http.documentation import add_documentation
from fanfold.http.event_loop_lag import event_loop_watched
from fanfold.http.identity.identity import HeaderIdentity, Identity
from fanfold.http.identity.sessions import EndsWithCredential
from fanfold.http.invalid_requests import invalid_request
from fanfold.http.limits import Limits
from fanfold.http.listen import listen
from fanfold.http.metrics import Metrics, exposition, start_requests_at_zero
from fanfold.http.metrics_port import metrics_port
from fanfold.http.openapi import DocumentedApp
from fanfold.http.problems import (
    BadRequest,
    Problem,
    engine_away,
    problem_document,
    problem_response,
)
from fanfold.http.protocol import Bounds
from fanfold.http.request_ids import RequestIds
from fanfold.http.server import Server
from fanfold.http.server_config import server_config

logger = logging.getLogger(__name__)

_STOP_GRACE_S = 10


class Health(BaseModel):
    status: str


def make_app(
    *,
    title: str,
    routers: Sequence[APIRouter],
    ready: Callable[[], Awaitable[None]],
    alive: Callable[[], None] | None = None,
    on_stop: Callable[[], None] = lambda: None,
    metrics: bool = True,
    identity: Identity | None = None,
) -> FastAPI:
    """An application with these routes, health, metrics and documentation.

    Every refusal and failure is a problem document. `ready` raises (a `Problem` or `Transient`) while the service
    can't do its work. `alive` raises a `Problem` once only a restart would help. `serve` calls `on_stop` when it begins to
    stop, before it waits for the answers in flight: to end those that would go on for ever. Without `metrics`, `/metrics` is
    no route of it. `identity` reads credentials; without one, `X-User-Id` is trusted.
    """
    app = DocumentedApp(
        title=title,
        version="1",
        # Their pages load Swagger UI from a public content network.
        docs_url=None,
        redoc_url=None,
        # A redirect would be sent before the credential is checked, and to any host that the `Host` header names.
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        telemetry=_telemetry(),
    )
    app.state.on_stop = on_stop
    app.state.identity = identity or HeaderIdentity()
    _add_layers(app)
    _answer_with_problems(app)
    _answer_unserved(app)

    # Included here and not in one another: FastAPI matches a path twice for each level of inclusion.
    async def ready_and_identified() -> None:
        await app.state.identity.ready()
        await ready()

    for router in (*routers, _operations(ready_and_identified, alive, metrics=metrics)):
        app.include_router(router)
    add_documentation(app)
    start_requests_at_zero(_routes(app))
    return app


def _add_layers(app: FastAPI) -> None:
    if tracing.spans() is None:
        # Otherwise FastAPI calls every route: its spans name them.
        app.add_middleware(DirectRoutes, of=app)
    # The last one is the outermost, so refused bodies are counted too.
    for middleware in (
        *(Limits, EndsWithCredential, EndsWithClient, Compression),
        *(Head, Private, Metrics, RequestIds),
    ):
        app.add_middleware(middleware)


def _telemetry() -> TelemetryConfig:
    """FastAPI's own spans of requests, where this process records traces, and nothing else of its telemetry: metrics are Prometheus', and logs would repeat what users sent."""
    spans = tracing.spans()
    return TelemetryConfig(
        tracing=spans is not None,
        tracer_provider=spans.provider if spans is not None else None,
        exclude=_is_probe,
        metrics=False,
        logs=False,
        operation_spans=False,
        auto_configure=False,
    )


def _is_probe(scope: Scope) -> bool:
    return scope["path"] in ALWAYS_ADMITTED


def _operation_id(route: APIRoute) -> str:
    return route.name


def _operations(
    ready: Callable[[], Awaitable[None]], alive: Callable[[], None] | None, *, metrics: bool
) -> APIRouter:
    """Health and metrics. None of these routes needs a credential."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez", response_model=Health, responses={503: {"description": "Stuck."}})
    async def livez() -> Health:
        """The process answers. No engine is asked, so an outage of one restarts no service."""
        if alive is not None:
            alive()
        return Health(status="alive")

    @router.get("/readyz", response_model=Health, responses={503: {"description": "Not ready."}})
    async def readyz() -> Health:
        """The service can do its work: all that it needs answers."""
        await ready()
        return Health(status="ready")

    if metrics:
        router.add_api_route(
            "/metrics",
            _metrics,
            name="metrics",
            response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        )
    return router


async def _metrics() -> Response:
    """Metrics in the Prometheus text format."""
    return exposition()


def _answer_with_problems(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(_request: Request, error: Problem) -> Response:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        return problem_response(invalid_request(error))

    @app.exception_handler(Transient)
    async def transient(_request: Request, error: Transient) -> Response:
        logger.warning("an engine did not answer", extra={"reason": str(error)})
        return problem_response(engine_away(error))

    # The edge of the process. Starlette raises the error again afterwards, and uvicorn logs the traceback.
    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> Response:
        return problem_document(
            status=500,
            kind="internal",
            title="Internal error",
            detail="This is a bug in the server; it has been logged.",
        )


def _answer_unserved(app: FastAPI) -> None:
    """Refusals of FastAPI itself: an unknown route, a method that the route lacks, a body with too much nesting."""

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == BadRequest.status:
            return problem_response(BadRequest("Send one JSON object, with little nesting."))
        headers = dict(error.headers or {})
        kind, title = "no-such-route", "No such route"
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            kind, title = "method-not-allowed", "Method not allowed"
            headers["Allow"] = ", ".join(sorted(_methods(app, request.url.path)))
        return problem_document(
            status=error.status_code,
            kind=kind,
            title=title,
            detail="See /openapi.json for the routes of this service.",
            headers=headers,
        )


def _routes(app: FastAPI) -> Iterator[Route]:
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, Route):
            yield context.original_route


def _methods(app: FastAPI, path: str) -> set[str]:
    """All methods of a path. Starlette names only those of the first route that has it."""
    methods = {
        method
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, Route) and route.path_regex.match(path)
        for method in route.methods or ()
    }
    return methods | {"HEAD"} if "GET" in methods else methods


def _spare_the_collector_what_stays() -> None:
    """Keep the garbage collector from traversing all modules, routes and models: under load, once a second, for 60 ms."""
    gc.collect()
    gc.freeze()


async def serve(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then answer what is in flight and return. Run it on uvloop's loop. Raises `Fault` if it can't listen."""
    config = server_config(
        Admission(
            RequestIds(KnownHosts(app, settings.known_hosts)),
            most=settings.max_in_flight,
            wait_s=settings.max_cpu_wait_s,
        ),
        Bounds(connections=settings.max_connections),
        stop_grace_s=_STOP_GRACE_S,
    )
    _spare_the_collector_what_stays()
    async with metrics_port(settings), event_loop_watched():
        sockets = listen(settings.host, settings.port)
        await Server(config, on_stop=app.state.on_stop).serve(sockets=list(sockets))
