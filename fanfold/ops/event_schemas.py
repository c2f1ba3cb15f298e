"""JSON Schemas of the events, generated from the models so that other languages can rely on them.

Three keywords are our own: `x-cloudevents-type` is the record's `ce_type`, `x-topic` its topic without the installation's prefix,
and `x-key` the field whose value is the record's key.

`schemas/events/` is committed; a test compares it with `event_schemas()`, so the two can't drift apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from fanfold.core.events import EVENTS, Event
from fanfold.ops.event_examples import example_of, key_field


def event_schemas() -> Mapping[str, str]:
    """File name → JSON Schema (draft 2020-12) of each event, as written to disk."""
    return {schema_file(event): _schema(event) for event in EVENTS}


def schema_file(event: type[Event]) -> str:
    """The name of the event's file in `schemas/events/`."""
    return f"{_snake(event.__name__)}.v1.json"


def export(directory: Path) -> list[Path]:
    """Write every schema and remove files that no event has any more. Returns what was written."""
    directory.mkdir(parents=True, exist_ok=True)
    schemas = event_schemas()
    for stale in directory.glob("*.json"):
        if stale.name not in schemas:
            stale.unlink()
    written = []
    for name, schema in schemas.items():
        path = directory / name
        path.write_text(schema)
        written.append(path)
    return written


def _schema(event: type[Event]) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:fanfold:event:{event.type_name()}",
        **event.model_json_schema(mode="serialization"),
        "examples": [example_of(event).model_dump(mode="json")],
        "x-cloudevents-type": event.type_name(),
        "x-topic": event.topic,
    }
    if field := key_field(event):
        schema["x-key"] = field
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
