"""Every operation that a service documents, with requests that keep to the document and requests that don't."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from tests.fuzz.services import (
    ACTOR,
    EXISTING,
    fanout_service,
    feed_service,
    graph_service,
    post_service,
)
from tests.support.served import AppFactory, served

STATEFUL = {"cursor", "since", "explain", "Idempotency-Key", "Fanfold-After"}
"""Parameters that are right or wrong by what came before, or by another parameter, which no document can say."""
ENDLESS = "/stream$"
"""The path of an answer that goes on for ever: tests/api/test_feed_after.py."""

Url = Callable[[AppFactory], str]


@pytest.fixture(scope="module")
def url_of() -> Iterator[Url]:
    """Each service is started once, when its first operation is tried."""
    with ExitStack() as running:
        yield cache(lambda service: running.enter_context(served(service)))


def documented(service: AppFactory) -> Any:
    """The service's own OpenAPI document, with which its tests are collected."""

    async def document() -> dict[str, Any]:
        async with service() as app:
            return app.openapi()

    return schemathesis.openapi.from_dict(asyncio.run(document()))


def excluded_checks(case: Case[Any]) -> list[Any]:
    # A trusted header has no invalid value, only a missing or malformed one: tests/api/test_bad_input.py.
    excluded = [ignored_auth]
    if STATEFUL & {*case.query, *case.headers}:
        excluded.append(positive_data_acceptance)
    if case.meta and not STATEFUL & {*case.headers}:
        # The test sends a credential of its own, so a case that is wrong by its credential alone is a right one.
        header = case.meta.components.get(ParameterLocation.HEADER)
        if header is not None and header.mode.is_negative:
            excluded.append(negative_data_rejection)
    return excluded


def every_answer_is_documented(
    service: AppFactory, *, about: Mapping[str, str] | None = None
) -> Callable[..., None]:
    """A test of every operation of a service: about anything, or about what exists (path parameters)."""

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def test(case: Case[Any], url_of: Url) -> None:
        if about and case.meta and case.meta.generation.mode.is_positive:
            case.path_parameters = {name: about[name] for name in case.path_parameters or {}}
        case.call_and_validate(
            base_url=url_of(service),
            headers={"X-User-Id": ACTOR},
            excluded_checks=excluded_checks(case),
        )

    tried: Callable[..., None] = documented(service).exclude(path_regex=ENDLESS).parametrize()(test)
    return tried


test_post_service = every_answer_is_documented(post_service)
test_graph_service = every_answer_is_documented(graph_service)
test_feed_service = every_answer_is_documented(feed_service)
test_fanout_service = every_answer_is_documented(fanout_service)

test_post_service_about_what_exists = every_answer_is_documented(post_service, about=EXISTING)
test_graph_service_about_what_exists = every_answer_is_documented(graph_service, about=EXISTING)
test_feed_service_about_what_exists = every_answer_is_documented(feed_service, about=EXISTING)
