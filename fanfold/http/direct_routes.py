"""Routes whose dependencies are found once, and not at each request.

FastAPI finds out again for each request what a route needs: that takes five sixths of what the HTTP edge costs a feed. Nothing of it depends on the
request. So a route whose function returns a whole `Response` is called from here. FastAPI still reads its declaration: paths, parameters, bodies, guards
and their order are FastAPI's own, and so are the validation and the OpenAPI document. All other routes are left to FastAPI.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from inspect import iscoroutinefunction
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin
from uuid import UUID

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import (
    get_typed_return_annotation,
    request_params_to_args,
)
from fastapi.exceptions import RequestValidationError
from fastapi.params import Body
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel
from starlette.convertors import StringConvertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fanfold.http.limits import parsed_body

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PLAIN: Final = (str, int, float, bool, UUID, NoneType)
_NO_BODY: Final = {"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}
"""FastAPI's error for an empty body."""
_REQUIRED: Final = object()
_FAILED: Final = object()


class NotPlain(Exception):
    """Only FastAPI knows how to call this."""


class _Parameter(NamedTuple):
    name: str
    alias: str
    default: Any
    field: Any
    """FastAPI's reading of it."""

    @classmethod
    def of(cls, field: Any) -> _Parameter:
        info = field.field_info
        if info.validation_alias not in (None, field.alias) or not _is_plain(info.annotation):
            raise NotPlain
        # As FastAPI gives it: a default may have to be validated.
        absent, _ = request_params_to_args([field], {})
        default = absent.get(field.name, _REQUIRED)
        if default is not _REQUIRED and not isinstance(default, _PLAIN):
            raise NotPlain
        return cls(field.name, field.alias, default, field)

    def value(self, given: Mapping[str, str], errors: list[Any]) -> Any:
        """What a request gives, validated; or nothing of use, after adding to the errors."""
        text = given.get(self.alias)
        if text is None:
            if self.default is _REQUIRED:
                errors += request_params_to_args([self.field], given)[1]
            return self.default
        where = self.field.field_info.in_.value
        value, wrong = self.field.validate(text, {}, loc=(where, self.alias))
        errors += wrong
        return value


class _Body(NamedTuple):
    """The one model that a body is read as."""

    name: str
    field: Any

    @classmethod
    def of(cls, field: Any) -> _Body:
        info = field.field_info
        model = isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        if type(info) is not Body or info.embed or not info.is_required() or not model:
            raise NotPlain
        return cls(field.name, field)

    def value(self, scope: Scope, errors: list[Any]) -> Any:
        """What the body says, validated; or nothing of use, after adding to the errors."""
        given = parsed_body(scope)
        if given is None:
            errors.append(dict(_NO_BODY))
            return None
        value, wrong = self.field.validate(given.value, {}, loc=("body",))
        errors += wrong
        return value


@dataclass(frozen=True, slots=True)
class _Step:
    """A dependency, or last the route's own function, and where its arguments are found."""

    call: Callable[..., Any]
    needs: tuple[tuple[str | None, int], ...]
    """Earlier steps by their index, and the names of the arguments that take what they return."""
    path: tuple[_Parameter, ...]
    query: tuple[_Parameter, ...]
    header: tuple[_Parameter, ...]
    body: tuple[_Body, ...]
    """None or one."""
    request: str | None
    """The argument that takes the request."""

    def arguments(self, request: Request, made: list[Any], errors: list[Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, index in self.needs:
            if name is not None:
                values[name] = made[index]
        for parameter in self.path:
            values[parameter.name] = parameter.value(request.path_params, errors)
        for parameter in self.query:
            values[parameter.name] = parameter.value(request.query_params, errors)
        for parameter in self.header:
            values[parameter.name] = parameter.value(request.headers, errors)
        for model in self.body:
            values[model.name] = model.value(request.scope, errors)
        if self.request is not None:
            values[self.request] = request
        return values


class _Steps:
    """The functions of one route in FastAPI's order, each once. Raises `NotPlain`."""

    def __init__(self, route: Dependant) -> None:
        self._steps: list[_Step] = []
        self._indexes: dict[Any, int] = {}
        self._add(route)

    def _add(self, dependant: Dependant) -> int:
        if dependant.call in self._indexes:
            return self._indexes[dependant.call]
        only_fastapi = (
            *(dependant.body_params[1:], dependant.cookie_params, dependant.own_oauth_scopes),
            *(dependant.websocket_param_name, dependant.response_param_name),
            *(dependant.background_tasks_param_name, dependant.security_scopes_param_name),
            *(dependant.concurrency, dependant.parent_oauth_scopes, not dependant.use_cache),
        )
        call = dependant.call
        if any(only_fastapi) or call is None or not _is_async(call):
            raise NotPlain
        needs = tuple((needed.name, self._add(needed)) for needed in dependant.dependencies)
        fields = (dependant.path_params, dependant.query_params, dependant.header_params)
        path, query, header = (tuple(map(_Parameter.of, some)) for some in fields)
        body = tuple(map(_Body.of, dependant.body_params))
        request = dependant.request_param_name or dependant.http_connection_param_name
        self._steps.append(_Step(call, needs, path, query, header, body, request))
        self._indexes[call] = len(self._steps) - 1
        return len(self._steps) - 1

    async def answer(self, request: Request) -> Response:
        """What the route's function returns. Raises `RequestValidationError`, after every guard that could be asked."""
        made: list[Any] = []
        errors: list[Any] = []
        for step in self._steps:
            before = len(errors)
            arguments = step.arguments(request, made, errors)
            failed = len(errors) > before or any(made[index] is _FAILED for _, index in step.needs)
            if errors and step is self._steps[-1]:
                raise RequestValidationError(errors)
            made.append(_FAILED if failed else await step.call(**arguments))
        answer: Response = made[-1]
        return answer


class _Direct(NamedTuple):
    route: APIRoute
    steps: _Steps


class DirectRoutes:
    """ASGI middleware, inside of `Limits`: calls the routes of `of` that it can, and leaves everything else to FastAPI."""

    def __init__(self, app: ASGIApp, *, of: FastAPI) -> None:
        self.app = app
        self._handlers = of.exception_handlers
        # In their order, so that a request gets the same route.
        self._by_method = {method: list(_routes(of, method)) for method in _METHODS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._found(scope) if scope["type"] == "http" else None
        if found is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await found.answer(request)
        except Exception as error:
            handler = self._handler(error)
            if handler is None:
                raise
            response = await handler(request, error)
        await response(scope, receive, send)

    def _found(self, scope: Scope) -> _Steps | None:
        if scope.get("root_path"):
            return None
        for path, direct in self._by_method.get(scope["method"], ()):
            if found := path.match(scope["path"]):
                if direct is None:
                    return None
                scope["route"], scope["path_params"] = direct.route, found.groupdict()
                return direct.steps
        return None

    def _handler(self, error: Exception) -> Any:
        for kind in type(error).__mro__:
            # That of every other exception runs further out, and raises the error again.
            if kind is not Exception and kind in self._handlers:
                return self._handlers[kind]
        return None


def direct_routes(app: FastAPI) -> list[str]:
    """The routes that are called directly, as `GET /path`."""
    return [
        f"{method} {direct.route.path}"
        for method in _METHODS
        for _, direct in _routes(app, method)
        if direct is not None
    ]


def _routes(app: FastAPI, method: str) -> Iterator[tuple[re.Pattern[str], _Direct | None]]:
    """Every path with this method; with None, FastAPI calls its route."""
    for context in iter_route_contexts(app.routes):
        if context.methods is not None and method not in context.methods:
            continue
        direct: _Direct | None = None
        route = context.original_route
        if type(route) is APIRoute and _is_whole(context):
            with suppress(NotPlain):
                direct = _Direct(route, _Steps(context.dependant))
        yield context.path_regex, direct


def _is_whole(context: Any) -> bool:
    """Whether the route's function returns a whole answer, and its path has only texts."""
    texts = all(type(one) is StringConvertor for one in context.param_convertors.values())
    return texts and get_typed_return_annotation(context.endpoint) is Response


def _is_plain(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return all(map(_is_plain, get_args(annotation)))
    return annotation in _PLAIN or get_origin(annotation) is Literal


def _is_async(call: Any) -> bool:
    return iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)
