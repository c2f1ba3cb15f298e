"""This version and the one before it share a log and a keyspace: what each writes, the other can read.

`tests/fixtures/previous` is what that version reads and writes, collected from its own code.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import orjson
import pytest

from fanfold.adapters.cassandra.migrate import load_migrations
from fanfold.core import events
from fanfold.core.events import Event
from fanfold.core.topics import load_topics
from fanfold.ops.event_examples import EXAMPLES
from fanfold.ops.event_schemas import event_schemas
from tests.support.previous import previous, types_known

RECORDS: list[dict[str, Any]] = previous("records")
SCHEMAS: dict[str, Any] = previous("events")

CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS \w+ ")
ADD = re.compile(r"ALTER TABLE \w+ ADD IF NOT EXISTS \w+ [\w<>, ]+")


def test_the_fixture_is_of_another_version() -> None:
    assert SCHEMAS
    assert SCHEMAS.keys() < event_schemas().keys()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["headers"]["ce_type"])
def test_what_the_previous_version_wrote_is_read_as_it_was_meant(record: dict[str, Any]) -> None:
    headers = {name: text.encode() for name, text in record["headers"].items()}

    event = events.decode(headers, orjson.dumps(record["value"]))

    assert (event.topic, event.key) == (record["topic"], record["key"])
    again = event.model_dump(mode="json")
    # A field of its own that means something may not be dropped, or be read as something else.
    assert {name: again[name] for name in record["value"]} == record["value"]


@pytest.mark.parametrize(
    "event",
    [example for example in EXAMPLES if example.type_name() in types_known()],
    ids=lambda example: type(example).__name__,
)
def test_records_of_this_version_fit_the_previous_one(event: Event) -> None:
    """Its fields are all there, and of its types; it ignores the others."""
    schema = next(
        declared for declared in SCHEMAS.values() if declared["title"] == type(event).__name__
    )
    wire = events.encode(event, source="test", now_ms=0)
    jsonschema.validate(orjson.loads(wire.value), schema)
    assert "additionalProperties" not in schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_event_only_ever_gets_fields_that_may_be_absent(name: str) -> None:
    schema = json.loads(event_schemas()[name])
    assert set(schema["required"]) <= set(SCHEMAS[name]["required"])
    assert schema["properties"].keys() >= SCHEMAS[name]["properties"].keys()


def test_the_migrations_that_were_released_are_untouched_and_come_first() -> None:
    released: dict[str, str] = previous("migrations")
    today = {migration.name: migration.checksum for migration in load_migrations()}
    assert list(today.items())[: len(released)] == sorted(released.items())


@pytest.mark.parametrize("migration", load_migrations(), ids=lambda migration: migration.name)
def test_a_migration_only_adds(migration: Any) -> None:
    """A version that is still running is never in the way of it, nor it in that version's. What goes, goes a release later."""
    for statement in migration.statements:
        assert CREATE.match(statement) or ADD.fullmatch(statement), statement


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE posts",
        "ALTER TABLE posts DROP content",
        "ALTER TABLE posts ALTER content TYPE blob",
        "ALTER TABLE posts RENAME post_id TO id",
        "ALTER TABLE posts ADD like_count int",
        "CREATE TABLE posts (post_id uuid PRIMARY KEY)",
        "TRUNCATE posts",
    ],
)
def test_a_migration_that_does_more_than_add_would_be_found(statement: str) -> None:
    assert CREATE.match(statement) is None
    assert ADD.fullmatch(statement) is None


def test_no_topic_changed_its_number_of_partitions() -> None:
    today = {name: topic.partitions["few"] for name, topic in load_topics().items()}
    assert previous("partitions").items() <= today.items()
