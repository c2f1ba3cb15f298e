"""Begins a consumer with a snapshot of `fanfold events snapshot`, so that it need not read the log from its first record. Copy this file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from exactly_once import Consumer, Event


def load(consumer: Consumer, snapshot: Path, prefix: str = "fanfold") -> None:
    """Load the consumer's topics, before `consume`. May be repeated: a partition that has begun is left as it is."""
    for topic in consumer.TOPICS:
        for number in range(len(_parts(snapshot, topic))):
            loaded = False
            while not loaded:
                # Read again each time: a newer snapshot may have taken the place of this one, and its files are others.
                part = _parts(snapshot, topic)[number]
                with suppress(FileNotFoundError):
                    consumer.load(
                        f"{prefix}.{topic}",
                        part["partition"],
                        _events(snapshot / part["file"]),
                        part["end_offset"],
                    )
                    loaded = True


def _parts(snapshot: Path, topic: str) -> list[dict[str, Any]]:
    head = json.loads((snapshot / "snapshot.json").read_text())
    if head["format"] != 1:
        raise ValueError(f"{snapshot} has another format than 1")
    parts: list[dict[str, Any]] = head["topics"][topic]
    return parts


def _events(file: Path) -> Iterator[tuple[str, Event]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            yield event["type"], event["data"]
