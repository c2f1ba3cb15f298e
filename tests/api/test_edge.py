"""How the shared edge answers failures that no route handles, and what it logs."""

from __future__ import annotations

import json
import logging
import sys

import httpx2
import pytest
from fastapi import APIRouter

from fanfold.core.errors import Unavailable
from fanfold.core.json_logs import JsonLines
from fanfold.http.app import make_app


async def answer_to(path: str) -> httpx2.Response:
    router = APIRouter()

    @router.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError("secret")

    @router.get("/away")
    async def away() -> None:
        raise Unavailable("secret-host:9042")

    async def ready() -> None:
        raise Unavailable("secret-host:9092")

    app = make_app(title="broken", routers=[router], ready=ready)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


async def test_a_bug_is_a_500_problem_that_gives_nothing_away() -> None:
    answer = await answer_to("/bug")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:fanfold:problem:internal"
    assert "secret" not in answer.text
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/away", "/readyz"])
async def test_an_engine_that_no_route_expected_to_be_away_is_503(path: str) -> None:
    answer = await answer_to(path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "secret" not in answer.text


async def test_every_operation_has_an_id_of_its_own_and_problems_for_its_refusals() -> None:
    document = (await answer_to("/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert sorted(ids) == ["away", "bug", "livez", "metrics", "readyz"]
    problems = [
        response["content"]
        for operation in operations
        for status, response in operation["responses"].items()
        if status >= "400"
    ]
    assert problems
    assert all([*content] == ["application/problem+json"] for content in problems)


def test_a_log_line_is_one_json_object_with_its_extras_and_traceback() -> None:
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError:
        record = logging.getLogger("fanfold.test").makeRecord(
            "fanfold.test",
            logging.ERROR,
            __file__,
            1,
            "took %d s\nor so",
            (3,),
            sys.exc_info(),
            extra={"post_id": "\ud800"},
        )
    text = JsonLines().format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert (line["level"], line["logger"], line["message"]) == (
        "error",
        "fanfold.test",
        "took 3 s\nor so",
    )
    assert line["post_id"] == "\ud800"
    assert line["time"].endswith("Z")
    # Without its text: that of another library's error may repeat what users wrote.
    assert line["traceback"].endswith("\nZeroDivisionError\n")
