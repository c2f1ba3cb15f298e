"""The committed JSON Schemas are what the models say, and what the models write fits them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import jsonschema
import orjson
import pytest

from fanfold.core import events
from fanfold.core.errors import Undecodable
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.topics import SCHEMAS, load_topics
from fanfold.ops.event_examples import EXAMPLES, key_field
from fanfold.ops.event_schemas import event_schemas
from fanfold.ops.schema_lists import with_lists


def test_the_committed_schemas_are_the_models() -> None:
    committed = {path.name: path.read_text() for path in (SCHEMAS / "events").glob("*.json")}
    assert committed == event_schemas(), "run `make schemas` and commit the difference"


def test_the_lists_of_the_readme_are_those_of_topics_yaml_and_the_models() -> None:
    readme = (SCHEMAS / "README.md").read_text()
    assert readme == with_lists(readme), "run `make schemas` and commit the difference"
    rows = re.findall(r"^\| \[(\w+)\]\(events/", readme, re.MULTILINE)
    assert rows == [event.__name__ for event in events.EVENTS]
    assert all(f"\n| `{topic}` |" in readme for topic in load_topics())


def test_every_event_has_one_example() -> None:
    assert [type(example) for example in EXAMPLES] == list(events.EVENTS)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_a_schema_has_the_example_the_topic_and_the_key(event: events.Event) -> None:
    schema = orjson.loads(event_schemas()[_file_of(event)])
    (example,) = schema["examples"]
    jsonschema.validate(example, schema)
    assert (
        events.decode({"ce_type": schema["x-cloudevents-type"].encode()}, orjson.dumps(example))
        == event
    )
    assert schema["x-topic"] == event.topic
    assert schema.get("x-key") == key_field(type(event))
    if "x-key" in schema:
        assert example[schema["x-key"]] == event.key


def test_the_key_of_every_event_that_is_no_command_is_one_field() -> None:
    events_of_the_log = [event for event in EXAMPLES if event.topic in events.PROJECTED_TOPICS]
    assert len(events_of_the_log) == 16
    for event in events_of_the_log:
        equal = [
            name for name, value in event.model_dump(mode="json").items() if value == event.key
        ]
        assert equal == [key_field(type(event))]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_fits_its_schema_and_survives_the_wire(event: events.Event) -> None:
    wire = events.encode(event, source="test", now_ms=0)
    schema = orjson.loads(event_schemas()[_file_of(event)])
    jsonschema.validate(orjson.loads(wire.value), schema)
    assert events.decode(dict(wire.headers), wire.value) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_a_reader_ignores_fields_that_a_later_version_added(event: events.Event) -> None:
    wire = events.encode(event, source="test", now_ms=0)
    later = orjson.dumps({**orjson.loads(wire.value), "added_later": True})
    assert events.decode(dict(wire.headers), later) == event


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"{}", b'"x"', b"\xff\xfe"])
def test_a_record_that_is_no_event_is_undecodable(value: bytes | None) -> None:
    with pytest.raises(Undecodable):
        events.decode({"ce_type": b"fanfold.PostCreated.v1"}, value)
    with pytest.raises(Undecodable, match="unknown event type"):
        events.decode({"ce_type": b"fanfold.NoSuchEvent.v9"}, value)


def test_time_on_the_wire_is_exactly_the_millisecond_in_the_post_id() -> None:
    for ms in range(1_700_000_000_000, 1_700_000_001_000, 7):
        at = datetime.fromtimestamp(ms / 1000, UTC)
        event = events.PostCreated(
            post_id=new_post_id(ms), author_id="bob", content="x", created_at=at
        )
        wire = events.encode(event, source="test", now_ms=0)
        again = events.decode(dict(wire.headers), wire.value)
        assert isinstance(again, events.PostCreated)
        assert events.to_ms(again.created_at) == ms == created_at_ms(again.post_id)


def test_topics_yaml_lists_exactly_the_events_of_the_models() -> None:
    declared = {name: set(topic.events) for name, topic in load_topics().items()}
    models: dict[str, set[str]] = {name: set() for name in declared}
    for event in events.EVENTS:
        models[event.topic].add(event.__name__)
    assert declared == models


def _file_of(event: events.Event) -> str:
    return next(
        name
        for name, schema in event_schemas().items()
        if orjson.loads(schema)["title"] == type(event).__name__
    )
