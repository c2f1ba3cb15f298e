"""`docs/events.md`: the AsyncAPI document as a page to read.

`make schemas` writes it, with `python -m tests.support.events_page`; tests/unit/test_events_page.py compares it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml

from fanfold.core import events
from fanfold.ops.async_api import async_api

PAGE = Path(__file__).parents[2] / "docs" / "events.md"

_INTRODUCTION = """# The public events

This page shows [schemas/asyncapi.yaml](../schemas/asyncapi.yaml) for people; `make schemas` writes both. [Consuming](../schemas/README.md#consuming-the-events) says what a
consumer must know, and [changing events](changing-events.md) what may change.
"""


def events_page() -> str:
    """The whole page."""
    document = yaml.safe_load(async_api())
    return _INTRODUCTION + "".join(
        part
        for channel in document["channels"].values()
        for part in _channel(channel, document["components"]["messages"])
    )


def _channel(channel: dict[str, Any], messages: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {channel['address'].replace('{prefix}', 'fanfold')}\n\n{channel['description']}\n"
    for name in channel["messages"]:
        yield from _message(name, messages[name])


def _message(name: str, message: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {name}\n\n{_text(inspect.getdoc(getattr(events, name)) or '')}\n\n"
    yield f"`ce_type` is `{message['name']}`. The key is {_key(message)}.\n\n"
    yield "| field | form | always there |\n|---|---|---|\n"
    payload = message["payload"]
    for field, schema in payload["properties"].items():
        there = (
            "yes"
            if field in payload["required"]
            else f"no: without it, {_value(schema.get('default'))}"
        )
        yield f"| `{field}` | {_form(schema)} | {there} |\n"
    (example,) = message["examples"]
    value = orjson.dumps(example["payload"], option=orjson.OPT_INDENT_2).decode()
    yield f"\n```json\n{value}\n```\n"


def _text(docstring: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in docstring.split("\n\n"))


def _key(message: dict[str, Any]) -> str:
    field, _, rest = message["bindings"]["kafka"]["key"]["description"].partition(" ")
    return f"the `{field}` {rest}"


def _value(value: Any) -> str:
    return f"`{orjson.dumps(value).decode()}`"


def _form(schema: dict[str, Any]) -> str:
    """In words: the type, the format, and the limits."""
    if "anyOf" in schema:
        return " or ".join(_form(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(_value(value) for value in schema["enum"])
    words = [schema["type"]]
    if "format" in schema:
        words.append(f"({schema['format']})")
    if "maxLength" in schema:
        words.append(f"of {schema['minLength']} to {schema['maxLength']} characters")
    if "minimum" in schema:
        words.append(f"from {schema['minimum']}")
    return " ".join(words)


if __name__ == "__main__":
    PAGE.write_text(events_page())
