"""What generated clients need of the OpenAPI documents, beside what schemathesis checks."""

from __future__ import annotations

from tests.fuzz.services import feed_service, graph_service, post_service
from tests.support.merged_openapi import DOCUMENT, as_text, merged_openapi


async def test_a_generated_client_tries_the_explained_item_first() -> None:
    """Both forms fit an item that is explained; the other one would lose the explanation."""
    async with feed_service() as app:
        schemas = app.openapi()["components"]["schemas"]
    forms = schemas["FeedPage"]["properties"]["items"]["items"]["anyOf"]
    assert [form["$ref"].rsplit("/")[-1] for form in forms] == ["ExplainedItem", "FeedItem"]


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


async def test_every_summary_is_a_sentence_of_the_description() -> None:
    document = await merged_openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            summary = operation["summary"]
            where = f"{method} {path}: {summary}"
            assert summary.endswith("."), where
            assert " ".join(operation["description"].split()).startswith(summary), where


async def test_the_committed_document_is_what_the_services_serve() -> None:
    document = await merged_openapi()
    assert len(document["paths"]) > 15
    written = DOCUMENT.read_text()
    assert written == as_text(document), "run `make schemas` and commit the difference"


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
