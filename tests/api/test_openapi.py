"""What generated clients need of the OpenAPI documents, beside what schemathesis checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.fuzz.services import feed_service, graph_service, post_service
from tests.support.merged_openapi import DOCUMENT, as_committed, merged_openapi


async def test_a_generated_client_tries_the_explained_item_first() -> None:
    """Both forms fit an item that is explained; the other one would lose the explanation."""
    async with feed_service() as app:
        schemas = app.openapi()["components"]["schemas"]
    forms = schemas["FeedPage"]["properties"]["items"]["items"]["anyOf"]
    assert [form["$ref"].rsplit("/")[-1] for form in forms] == ["ExplainedItem", "FeedItem"]


@pytest.mark.slow
async def test_fanfold_after_is_one_string_because_generators_leave_out_lists_in_headers() -> None:
    for service in (post_service, graph_service, feed_service):
        async with service() as app:
            paths = app.openapi()["paths"]
        found = [
            parameter["schema"]
            for path in paths.values()
            for operation in path.values()
            for parameter in operation.get("parameters", ())
            if parameter["name"] == "Fanfold-After"
        ]
        assert found
        types = [{form["type"] for form in schema.get("anyOf", [schema])} for schema in found]
        assert all(kinds <= {"string", "null"} for kinds in types)


@pytest.mark.slow
async def test_every_summary_is_a_sentence_of_the_description() -> None:
    document = await merged_openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            summary = operation["summary"]
            where = f"{method} {path}: {summary}"
            assert summary.endswith("."), where
            assert " ".join(operation["description"].split()).startswith(summary), where


@pytest.mark.slow
async def test_the_committed_document_is_what_the_services_serve_and_answer() -> None:
    written = DOCUMENT.read_text()
    assert len(json.loads(written)["paths"]) > 15
    assert written == await as_committed(), "run `make schemas` and commit the difference"


def test_every_answer_with_a_body_has_an_example_that_is_valid() -> None:
    document = json.loads(DOCUMENT.read_text())
    problems = document["components"]["examples"]
    used: set[str] = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, media in answers_with_a_body(operation):
                names = [
                    part["$ref"].rpartition("/")[2] for part in media.get("examples", {}).values()
                ]
                values = [problems[name]["value"] for name in names]
                assert {value["status"] for value in values} <= {int(status)}
                values += [media["example"]] if "example" in media else []
                assert values, f"{method} {path} {status}"
                schema = {**media["schema"], "components": document["components"]}
                for value in values:
                    jsonschema.validate(value, schema, jsonschema.Draft202012Validator)
                used |= {*names}
    assert used == problems.keys()


def answers_with_a_body(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, response in operation["responses"].items():
        for media in response.get("content", {}).values():
            yield status, media


@pytest.mark.slow
async def test_operations_of_all_services_have_ids_of_their_own() -> None:
    """So that their documents can be merged."""
    ids: list[str] = []
    for service in (post_service, graph_service, feed_service):
        async with service() as app:
            paths = app.openapi()["paths"]
        ids += [
            operation["operationId"]
            for path, operations in paths.items()
            if path not in {"/livez", "/readyz", "/metrics"}
            for operation in operations.values()
        ]
    assert len(ids) > 25
    assert len(ids) == len(set(ids))
