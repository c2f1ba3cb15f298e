"""Every route of every service has the guards that it needs: a new route that lacks one fails here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction, isfunction
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BeforeValidator

from fanfold.http.auth import acting_user
from fanfold.http.guards import OwnUserId, WriteGuards
from fanfold.http.positions import named_writes
from tests.fuzz.services import fanout_service, feed_service, graph_service, post_service

Service = Callable[[], AbstractAsyncContextManager[FastAPI]]

WITHOUT_CREDENTIAL = {
    "GET /livez": "probes have no credential",
    "GET /readyz": "probes have no credential",
    "GET /metrics": "Prometheus has no credential",
}
STREAMS = {
    "GET /users/{user_id}/feed/stream": "a live feed ends with whatever was written, and needs no waiting",
}
MAY_HAVE_LEFT = {
    "POST /posts": "posts are accepted without the tables: publishing looks for the actor's row itself",
    "PUT /users/{user_id}/following/{target_id}": "following looks for the actor's row itself, together with the target's",
    "DELETE /users/{user_id}": "leaving is idempotent",
}
GIVES_TICKETS = {
    "POST /users/{user_id}/feed/stream/ticket": "a ticket is for a read, and no event",
    "POST /users/{user_id}/export/ticket": "a ticket is for a read, and no event",
}
FOR_OTHERS_TOO = {
    "GET /users/{user_id}": "profiles are public",
    "GET /users/{user_id}/following": "lists of follows are public",
    "GET /users/{user_id}/followers": "lists of follows are public",
    "GET /users/{user_id}/posts": "an author's posts are public",
}


@dataclass(frozen=True)
class Route:
    """A route, and the functions that run before it."""

    name: str
    writes: bool
    guards: set[Callable[..., Any]]
    loose_numbers: list[str]
    """Its parameters that are numbers, and are not read by `whole_number`."""
    in_threads: list[str]
    """Its functions that FastAPI runs in a thread, because they are no coroutine functions."""


def routes(app: FastAPI) -> Iterator[Route]:
    for context in iter_route_contexts(app.routes):
        # The others are FastAPI's own: the OpenAPI document and its pages.
        if isinstance(context.original_route, APIRoute):
            for method in context.methods or ():
                name = f"{method} {context.path}"
                writes = method not in ("GET", "HEAD") and name not in GIVES_TICKETS
                guards, dependant = guards_of(context), context.dependant
                yield Route(name, writes, guards, loose_numbers(dependant), in_threads(dependant))


def guards_of(context: RouteContext) -> set[Callable[..., Any]]:
    return {function(dependant) for dependant in dependencies(context.dependant)}


def dependencies(dependant: Dependant) -> Iterator[Dependant]:
    for dependency in dependant.dependencies:
        yield dependency
        yield from dependencies(dependency)


def loose_numbers(dependant: Dependant) -> list[str]:
    parameters = [
        parameter
        for part in (dependant, *dependencies(dependant))
        for parameter in (*part.query_params, *part.path_params, *part.header_params)
    ]
    return [
        parameter.name
        for parameter in parameters
        if {int, float}
        & {parameter.field_info.annotation, *get_args(parameter.field_info.annotation)}
        and not any(
            isinstance(rule, BeforeValidator) and rule.func.__qualname__.startswith("whole_number.")
            for rule in parameter.field_info.metadata
        )
    ]


def in_threads(dependant: Dependant) -> list[str]:
    functions = [function(part) for part in (dependant, *dependencies(dependant))]
    # An object that is called is as its method is; and a stream is a generator, which runs in the event loop too.
    return [
        found.__qualname__
        for called in functions
        for found in [called if isfunction(called) else type(called).__call__]
        if not (iscoroutinefunction(found) or isasyncgenfunction(found))
    ]


def function(dependant: Dependant) -> Callable[..., Any]:
    call: Any = dependant.call
    plain: Callable[..., Any] = getattr(call, "__func__", call)
    return plain


@pytest.fixture(params=[post_service, graph_service, feed_service, fanout_service])
async def served(request: pytest.FixtureRequest) -> list[Route]:
    service: Service = request.param
    async with service() as app:
        return list(routes(app))


async def test_every_route_but_those_of_operators_needs_a_credential(served: list[Route]) -> None:
    open_routes = {route.name for route in served if acting_user not in route.guards}
    assert open_routes == set(WITHOUT_CREDENTIAL)


async def test_every_write_needs_a_writable_clock(served: list[Route]) -> None:
    unguarded = [
        route.name
        for route in served
        if route.writes and WriteGuards.writable_clock not in route.guards
    ]
    assert unguarded == []


async def test_every_write_is_refused_to_a_user_who_has_left(served: list[Route]) -> None:
    unguarded = {
        route.name for route in served if route.writes and WriteGuards.not_left not in route.guards
    }
    assert unguarded <= set(MAY_HAVE_LEFT)


async def test_every_route_under_a_user_id_is_for_that_user_alone(served: list[Route]) -> None:
    unguarded = {
        route.name
        for route in served
        if " /users/{user_id}" in route.name and OwnUserId.own_user_id not in route.guards
    }
    assert unguarded <= set(FOR_OTHERS_TOO)


async def test_every_number_is_read_by_one_parser(served: list[Route]) -> None:
    assert [(route.name, route.loose_numbers) for route in served if route.loose_numbers] == []


async def test_no_function_of_a_route_runs_in_a_thread(served: list[Route]) -> None:
    """A thread costs a request 0.2 ms of CPU, and a turn at the interpreter's lock."""
    assert [(route.name, route.in_threads) for route in served if route.in_threads] == []


async def test_every_read_shows_the_writes_that_a_request_names(served: list[Route]) -> None:
    unguarded = {
        route.name for route in served if not route.writes and named_writes not in route.guards
    }
    assert unguarded <= {*WITHOUT_CREDENTIAL, *STREAMS, *GIVES_TICKETS}


async def test_no_exception_is_for_a_route_that_is_gone() -> None:
    names: set[str] = set()
    for service in (post_service, graph_service, feed_service):
        async with service() as app:
            names |= {route.name for route in routes(app)}
    assert {
        *WITHOUT_CREDENTIAL,
        *STREAMS,
        *MAY_HAVE_LEFT,
        *GIVES_TICKETS,
        *FOR_OTHERS_TOO,
    } <= names
