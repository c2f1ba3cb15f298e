"""The form of events on the wire: CloudEvents 1.0, Kafka binary mode.

The record's value is the model as JSON, its key the partition key, and the headers carry `ce_type`, `ce_id`,
`ce_source`, `ce_time`, `ce_specversion` and `content-type`, and where the append is traced `ce_traceparent`. Readers ignore unknown fields, so adding an optional one
is a compatible change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson
from pydantic import ValidationError
from uuid_utils import compat

from fanfold.core.clock import rfc3339
from fanfold.core.errors import Undecodable
from fanfold.core.events.catalogue import EVENTS, Event

_NAME = re.compile(rb"[A-Za-z0-9._-]{1,100}")
_BY_TYPE = {event.type_name().encode(): event for event in EVENTS}


class Encoded(NamedTuple):
    """An event as a record to append."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def encode(
    event: Event, *, source: str, now_ms: int, extensions: Iterable[tuple[str, bytes]] = ()
) -> Encoded:
    """The wire form. An event with an identity keeps its `ce_id` when it is appended again."""
    event_id = event.event_id or compat.uuid7()
    return Encoded(
        topic=event.topic,
        key=event.key.encode(),
        value=orjson.dumps(event.model_dump(mode="json")),
        headers=[
            ("ce_specversion", b"1.0"),
            ("ce_id", str(event_id).encode()),
            ("ce_type", event.type_name().encode()),
            ("ce_source", source.encode()),
            ("ce_time", rfc3339(now_ms).encode()),
            ("content-type", b"application/json"),
            *extensions,
        ],
    )


def decode(headers: dict[str, bytes], value: bytes | None) -> Event:
    """The event of a record. Raises `Undecodable` for anything that isn't one this version knows."""
    name = headers.get("ce_type", b"")
    model = _BY_TYPE.get(name)
    if model is None:
        # Reasons are logged, and a text that is no name may hold anything.
        named = f" {name.decode()}" if _NAME.fullmatch(name) else ""
        raise Undecodable(f"unknown event type{named}")
    try:
        return model.model_validate_json(value or b"")
    except ValidationError as error:
        # Without the values, which are content, and so without the cause: reasons are logged.
        wrong = ", ".join(
            f"{'.'.join(map(str, found['loc'])) or 'value'} ({found['type']})"
            for found in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise Undecodable(f"{model.__name__}: wrong {wrong}") from None


def event_name(headers: Mapping[str, bytes]) -> str:
    """The event's name as a record's headers have it, for people: `PostCreated`, or what stands in its place."""
    raw = headers.get("ce_type", b"").decode(errors="replace")
    return raw.removeprefix("fanfold.").removesuffix(".v1") or "?"
