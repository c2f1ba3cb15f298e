"""The public events as an AsyncAPI 3.1 document, generated from the models, `topics.yaml` and the examples.

`schemas/asyncapi.yaml` is committed; a test compares it with `async_api()`. Private and internal topics are left out: no other team may
consume them.
"""

from __future__ import annotations

import inspect
from typing import Any

import orjson
import yaml

from fanfold.core.clock import rfc3339
from fanfold.core.events import EVENTS, Event
from fanfold.core.topics import Topic, load_topics
from fanfold.ops.event_examples import AT_MS, example_of, key_field

_BINDING = "0.5.0"
_HEADER = "# Written by `make schemas` from fanfold/core/events and topics.yaml. Don't edit it.\n"
_EXAMPLE_ID = "01a7f1a6-3b40-7000-8000-000000000002"


def async_api() -> str:
    """The document, as written to disk."""
    topics = {name: topic for name, topic in load_topics().items() if topic.public}
    events = {event.__name__: event for event in EVENTS if event.topic in topics}
    document = {
        "asyncapi": "3.1.0",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {_id(name): _channel(topic) for name, topic in topics.items()},
        "operations": {f"append_{_id(name)}": _operation(topic) for name, topic in topics.items()},
        "components": {
            "messages": {name: _message(event) for name, event in events.items()},
            "schemas": {"CloudEvent": _cloud_event()},
            "securitySchemes": {
                "password": {
                    "type": "scramSha512",
                    "description": "A user name and a password, over TLS.",
                },
                "certificate": {"type": "X509", "description": "A client certificate."},
            },
        },
    }
    return _HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _info() -> dict[str, Any]:
    return {
        "title": "Fanfold's public events",
        "version": "1",
        "description": (
            "What any service may consume from Kafka. A record is a CloudEvent 1.0 in binary mode. Records come at least once, in the "
            "order of appending within a key; between topics there is no order. Ignore unknown fields and unknown `ce_type`s."
        ),
        "contact": {"name": "The operator of this installation"},
        "tags": [{"name": "events", "description": "What has happened, in the past tense."}],
        "license": {
            "name": "Apache-2.0",
            "url": "https://www.apache.org/licenses/LICENSE-2.0",
        },
    }


def _servers() -> dict[str, Any]:
    bootstrap = {
        "description": "The addresses of FANFOLD_KAFKA_BOOTSTRAP, without their ports.",
        "default": "localhost",
    }
    security = [
        {"$ref": "#/components/securitySchemes/password"},
        {"$ref": "#/components/securitySchemes/certificate"},
    ]
    return {
        "production": {
            "host": "{bootstrap}:9093",
            "protocol": "kafka-secure",
            "description": "An installation with TLS. Each consumer has a user of its own, who may read the public topics.",
            "variables": {"bootstrap": bootstrap},
            "security": security,
        },
        "local": {
            "host": "{bootstrap}:9092",
            "protocol": "kafka",
            "description": "A Kafka without TLS, on one machine.",
            "variables": {"bootstrap": bootstrap},
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    kept = "for ever" if topic.retention_ms == -1 else f"for {topic.retention_ms} ms"
    return {
        "address": "{prefix}." + topic.name,
        "description": f"Key: {topic.key}. Records of one key are in the order of appending, and are kept {kept}.",
        "parameters": {
            "prefix": {"description": "FANFOLD_TOPIC_PREFIX.", "default": "fanfold"},
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in topic.events},
        "bindings": {
            "kafka": {
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": topic.retention_ms,
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(topic: Topic) -> dict[str, Any]:
    producers = ", ".join(name for name in topic.producers if name != "operator")
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{_id(topic.name)}"},
        "summary": f"Fanfold ({producers}) appends what has happened; consumers receive it.",
        "description": "Any number of consumers, each with groups of its own, receive every record.",
    }


def _message(event: type[Event]) -> dict[str, Any]:
    example = example_of(event)
    schema = event.model_json_schema(mode="serialization")
    return {
        "name": event.type_name(),
        "title": event.__name__,
        "summary": " ".join((inspect.getdoc(event) or "").split("\n\n")[0].split()),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "type": "object",
                    "properties": {"ce_type": {"type": "string", "const": event.type_name()}},
                },
            ],
        },
        "payload": schema,
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"{key_field(event)} of the payload"},
                "bindingVersion": _BINDING,
            }
        },
        "examples": [
            {
                "name": f"key {example.key}",
                "headers": _example_headers(event),
                "payload": orjson.loads(orjson.dumps(example.model_dump(mode="json"))),
            }
        ],
    }


def _example_headers(event: type[Event]) -> dict[str, str]:
    return {
        "ce_specversion": "1.0",
        "ce_id": _EXAMPLE_ID,
        "ce_type": event.type_name(),
        "ce_source": "fanfold/example",
        "ce_time": rfc3339(AT_MS),
        "content-type": "application/json",
    }


def _cloud_event() -> dict[str, Any]:
    """The headers of every record."""
    texts = {
        "ce_id": "Unlike for every append. A PostCreated or AuthorModeChanged that is appended again keeps it.",
        "ce_source": "The service that appended the record.",
        "ce_time": "When it was appended: RFC 3339, UTC. For people; offsets define the order.",
        "ce_traceparent": "The span that appended it, where that was traced: CloudEvents' extension for distributed tracing, as W3C's Trace Context writes it.",
        "ff_replay_of": "The position of the original record, where an operator has replayed a dead letter.",
    }
    properties: dict[str, Any] = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_type": {"type": "string"},
        "content-type": {"type": "string", "const": "application/json"},
        **{name: {"type": "string", "description": text} for name, text in texts.items()},
    }
    required = [name for name in properties if name not in {"ce_traceparent", "ff_replay_of"}]
    return {"type": "object", "properties": properties, "required": required}


def _id(topic: str) -> str:
    """`posts.v1` as an identifier: `posts_v1`."""
    return topic.replace(".", "_")
