"""JSON Schemas of a snapshot's files, for those who read it in another language. `schemas/snapshots/` is committed; a test compares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from fanfold.core.events import PUBLIC_TOPICS, PostCreated, encode, from_ms
from fanfold.core.ports.log import Record
from fanfold.ops.event_examples import AT_MS, example_of
from fanfold.ops.snapshot.form import Head, Line, Part, line_of


def snapshot_schemas() -> Mapping[str, str]:
    """File name → JSON Schema (draft 2020-12), as written to disk."""
    return {
        "snapshot.v1.json": _schema(Head, _head().model_dump(mode="json")),
        "line.v1.json": _schema(Line, _line()),
    }


def export(directory: Path) -> list[Path]:
    """Write both. Returns what was written."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in snapshot_schemas().items():
        path = directory / name
        path.write_text(schema)
        written.append(path)
    return written


def _schema(model: type[BaseModel], example: Any) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:fanfold:snapshot:{model.__name__.lower()}.v1",
        **model.model_json_schema(mode="serialization"),
        "examples": [example],
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _head() -> Head:
    return Head(
        made_at=from_ms(AT_MS + 60_000),
        topics={
            topic: (
                Part(
                    partition=0,
                    file=f"{topic}/0-42-{'0' * 8}.jsonl.gz",
                    end_offset=42,
                    as_of=from_ms(AT_MS),
                    records=17,
                    sha256="0" * 64,
                ),
            )
            for topic in PUBLIC_TOPICS
        },
    )


def _line() -> Any:
    encoded = encode(example_of(PostCreated), source="fanfold/example", now_ms=AT_MS)
    headers = dict(encoded.headers)
    return orjson.loads(
        line_of(Record(encoded.topic, 0, 41, encoded.key, encoded.value, headers, AT_MS))
    )
