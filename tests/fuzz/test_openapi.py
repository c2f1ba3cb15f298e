"""Every operation that a service documents, with requests that keep to the document and requests that don't."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import load_all_checks
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.python._constants.orchestrator import make_constants_value_source
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

load_all_checks()


@pytest.fixture(scope="module")
def url_of() -> Iterator[Url]:
    """Each service is started once, when its first operation is tried."""
    with ExitStack() as running:
        yield cache(lambda service: running.enter_context(served(service)))


@cache
def document_of(service: AppFactory) -> dict[str, Any]:
    """The service's own OpenAPI document."""

    async def document() -> dict[str, Any]:
        async with service() as app:
            return app.openapi()

    return asyncio.run(document())


@cache
def documented(service: AppFactory, _about: str) -> Any:
    """The document as Schemathesis reads it. It remembers cases that were tried, so each way to try a service has one of its own."""
    return schemathesis.openapi.from_dict(document_of(service))


def operations_of(service: AppFactory) -> Iterator[tuple[str, str]]:
    """The path and the method of every operation that a service documents."""
    for path, methods in document_of(service)["paths"].items():
        if not re.search(ENDLESS, path):
            yield from ((path, method) for method in methods)


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


CASES = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
ANYTHING, WHAT_EXISTS = "anything", "what exists"
SERVICES = (post_service, graph_service, feed_service)


@pytest.mark.parametrize(
    ("service", "about", "path", "method"),
    [
        pytest.param(
            service, about, path, method, id=f"{service.__name__}, {about}: {method.upper()} {path}"
        )
        for about, services in ((ANYTHING, (*SERVICES, fanout_service)), (WHAT_EXISTS, SERVICES))
        for service in services
        for path, method in operations_of(service)
    ],
)
def test_every_answer_is_documented(
    service: AppFactory, about: str, path: str, method: str, url_of: Url
) -> None:
    @CASES
    def test(case: Case[Any]) -> None:
        if about == WHAT_EXISTS and case.meta and case.meta.generation.mode.is_positive:
            case.path_parameters = {name: EXISTING[name] for name in case.path_parameters or {}}
        case.call_and_validate(
            base_url=url_of(service),
            headers={"X-User-Id": ACTOR},
            excluded_checks=excluded_checks(case),
        )

    document = documented(service, about)
    # What Schemathesis does for each operation while tests are collected. That takes seconds, and each process of a session collects all tests.
    build_operation_test(
        config=document.config,
        operation=document[path][method],
        test_func=test,
        given_kwargs={},
        feedback=FeedbackSources(constants_value_source=make_constants_value_source(document)),
    )()
