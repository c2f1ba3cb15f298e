"""The form of a snapshot on disk: `schemas/snapshots` describes it for other languages.

`snapshot.json` names a file for each partition, with the offset at which the log goes on. It is replaced as a whole or not at all, after
the files that it names are written. A file holds a CloudEvent in its JSON form on each line, in the order of offsets, packed by gzip.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fanfold.core.clock import rfc3339
from fanfold.core.errors import Fault
from fanfold.core.events import Time, to_ms
from fanfold.core.ports.log import Record

HEAD = "snapshot.json"
_SPEED = 4  # of gzip: 9 takes five times as long for a twentieth less


class Part(BaseModel):
    """One partition: its records that no later one has overtaken, of all those before `end_offset`."""

    model_config = ConfigDict(frozen=True)

    partition: int = Field(ge=0)
    file: str = Field(description="Relative to `snapshot.json`.")
    end_offset: int = Field(ge=0, description="Go on here in the log.")
    as_of: Time | None = Field(
        description="When the last record before `end_offset` was appended; null for an empty partition."
    )
    records: int = Field(ge=0, description="The lines of the file.")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Of the packed file.")]


class Head(BaseModel):
    """`snapshot.json`: what a snapshot of the public topics holds. Read it again where a file that it named is gone: a newer one is there."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    made_at: Time
    topics: dict[str, tuple[Part, ...]] = Field(
        description="By the topic's name without the installation's prefix. A snapshot has every topic that was public when it was made."
    )

    def ends(self) -> dict[tuple[str, int], int]:
        """Topic and partition → the offset at which the log goes on."""
        return {
            (topic, part.partition): part.end_offset
            for topic, parts in self.topics.items()
            for part in parts
        }


class Line(BaseModel):
    """A line of a file: an event as a CloudEvent 1.0 in its JSON form, as any SDK of CloudEvents reads it.

    `data` is the record's value, and `partitionkey` its key.
    """

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str = Field(description="The record's `ce_type`: the schema of `data`.")
    time: str = Field(description="RFC 3339. For people; offsets define the order.")
    datacontenttype: Literal["application/json"]
    partitionkey: str
    sequence: str = Field(
        pattern="^[0-9]{19}$", description="The record's offset, as decimal digits."
    )
    recordedtime: str = Field(description="When it was appended, by the log's clock: RFC 3339.")
    data: dict[str, Any]


class Packed(NamedTuple):
    """A file that is written: its name, its number of lines, its hash."""

    name: str
    lines: int
    sha256: str


def line_of(record: Record) -> bytes:
    """The line of a record. Raises `ValueError` for a value that is no JSON object."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers.items()}
    data = orjson.loads(record.value or b"")
    if not isinstance(data, dict):
        raise ValueError("no JSON object")
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": headers.get("ce_id", ""),
            "source": headers.get("ce_source", ""),
            "type": headers.get("ce_type", ""),
            "time": headers.get("ce_time", ""),
            "datacontenttype": "application/json",
            "partitionkey": (record.key or b"").decode(errors="replace"),
            "sequence": f"{record.offset:019}",
            "recordedtime": rfc3339(record.appended_at_ms),
            "data": data,
        }
    )


def record_of(line: bytes, topic: str, partition: int) -> Record:
    """The record of a line; `line_of` undoes it."""
    found = orjson.loads(line)
    headers = {
        f"ce_{name}": found[name] for name in ("specversion", "id", "type", "source", "time")
    }
    return Record(
        topic,
        partition,
        int(found["sequence"]),
        found["partitionkey"].encode(),
        orjson.dumps(found["data"]),
        {
            **{name: text.encode() for name, text in headers.items()},
            "content-type": b"application/json",
        },
        to_ms(datetime.fromisoformat(found["recordedtime"])),
    )


def read_head(directory: Path) -> Head | None:
    """The snapshot's head; None where there is no snapshot. Raises `Fault` for one that this version can't read."""
    try:
        return Head.model_validate_json((directory / HEAD).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise Fault(f"{directory / HEAD} is no snapshot that this version can read") from error


def read_lines(directory: Path, part: Part) -> Iterator[bytes]:
    """The lines of a partition. Raises `Fault` for a file that is not the one that was written."""
    path = directory / part.file
    try:
        with path.open("rb") as packed:
            found = hashlib.file_digest(packed, "sha256").hexdigest()
    except OSError as error:
        raise Fault(f"{path} can't be read: {error.strerror}") from error
    if found != part.sha256:
        raise Fault(f"{path} is damaged: its hash is not that of {HEAD}")
    with gzip.open(path, "rb") as lines:
        for line in lines:
            yield line.removesuffix(b"\n")


def read_records(directory: Path, head: Head, topics: Iterable[str]) -> Iterator[Record]:
    """Every record of these topics of a snapshot, in order within a partition. Raises `Fault`."""
    for topic in topics:
        for part in head.topics.get(topic, ()):
            for line in read_lines(directory, part):
                yield record_of(line, topic, part.partition)


def write_lines(directory: Path, topic: str, stem: str, lines: Iterable[bytes]) -> Packed:
    """Write a file, durably. The name has a part of its hash, so it never takes the place of another content."""
    folder = directory / topic
    folder.mkdir(exist_ok=True)
    draft = folder / f"{stem}.new"
    count = 0
    with draft.open("wb") as file:
        # Without a name and a time, so that the same lines give the same bytes.
        with gzip.GzipFile("", "wb", _SPEED, file, mtime=0) as packed:
            for line in lines:
                packed.write(line + b"\n")
                count += 1
        file.flush()
        os.fsync(file.fileno())
    with draft.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    name = f"{stem}-{sha256[:8]}.jsonl.gz"
    draft.replace(folder / name)
    return Packed(f"{topic}/{name}", count, sha256)


def publish(directory: Path, head: Head) -> None:
    """Make these files the snapshot, durably, and delete the others of the topics."""
    for folder in {directory / topic for topic in head.topics}:
        _sync(folder)
    draft = directory / f"{HEAD}.new"
    with draft.open("wb") as file:
        file.write(head.model_dump_json(indent=1).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(directory / HEAD)
    _sync(directory)
    named = {directory / part.file for parts in head.topics.values() for part in parts}
    for folder in {path.parent for path in named}:
        for path in folder.iterdir():
            if path not in named:
                path.unlink()


def _sync(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
