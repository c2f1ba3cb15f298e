"""The lists of topics and events in `schemas/README.md`, generated from `topics.yaml` and the events' docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from fanfold.core.events import EVENTS, Event
from fanfold.core.topics import Topic, load_topics
from fanfold.ops.event_schemas import schema_file

_DAY_MS = 24 * 3600 * 1000


def with_lists(readme: str) -> str:
    """The page with both lists as they should be, between their markers."""
    for name, rows in (("topics", _topics()), ("events", _events())):
        marked = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        text = "".join(f"{row}\n" for row in rows)
        readme = marked.sub(lambda _, text=text: text, readme)  # type: ignore[misc]
    return readme


def write_lists(readme: Path) -> None:
    """Write both lists into the page."""
    readme.write_text(with_lists(readme.read_text()))


def _topics() -> Iterator[str]:
    yield "| topic | readers | key | partitions: few, many | kept | events |"
    yield "|---|---|---|---|---|---|"
    for topic in load_topics().values():
        kept = "for ever" if topic.retention_ms == -1 else f"{topic.retention_ms // _DAY_MS} days"
        events = ", ".join(topic.events) or "any record, with its origin and the reason"
        yield f"| `{topic.name}` | {_readers(topic)} | {topic.key} | {topic.partitions['few']}, {topic.partitions['many']} | {kept} | {events} |"


def _readers(topic: Topic) -> str:
    if topic.public:
        return "public"
    return "private" if topic.projected else "internal"


def _events() -> Iterator[str]:
    topics = load_topics()
    yield "| event | topic | meaning |"
    yield "|---|---|---|"
    for event in EVENTS:
        topic = topics[event.topic]
        where = f"`{topic.name}`" if topic.public else f"`{topic.name}` ({_readers(topic)})"
        link = f"[{event.__name__}](events/{schema_file(event)})"
        yield f"| {link} | {where} | {_meaning(event)} |"


def _meaning(event: type[Event]) -> str:
    return " ".join((inspect.getdoc(event) or "").split("\n\n")[0].split())
