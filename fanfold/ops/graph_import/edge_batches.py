"""Reads an edge list, plain or gzip, as batches of parsed lines."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from fanfold.core.errors import Rejected
from fanfold.ops.graph_import.checkpoint import Counts
from fanfold.ops.graph_import.edge_list import (
    Columns,
    Edge,
    Line,
    Wrong,
    is_blank,
    parse,
    read_header,
    read_lines,
)

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class EdgeFile:
    """An open edge list: its text, and the packed file, whose offset shows the progress."""

    text: BinaryIO
    packed: BinaryIO


@dataclass(slots=True)
class Batch:
    """Lines up to byte `end` of the text. `counts` are those of the whole file up to there."""

    counts: Counts
    end: int
    edges: list[tuple[Line, Edge]] = field(default_factory=list)
    wrong: list[tuple[Line, Wrong]] = field(default_factory=list)


@contextmanager
def reading(path: Path) -> Iterator[EdgeFile]:
    """Open an edge list. Raises `Rejected` if it can't be read, also from within the block."""
    try:
        packed = path.open("rb")
    except OSError as error:
        raise Rejected(f"{path} can't be read: {error.strerror}") from error
    with packed:
        if packed.read(len(_GZIP)) != _GZIP:
            yield EdgeFile(packed, packed)
            return
        packed.seek(0)
        try:
            with gzip.GzipFile(fileobj=packed) as text:
                yield EdgeFile(cast("BinaryIO", text), packed)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise Rejected(
                f"{path} is damaged: {error}; the lines before the damage were read"
            ) from error


def read_columns(file: EdgeFile) -> tuple[Columns, int]:
    """The columns, and the number of the header line, or 0 without a header. Leaves the file at its beginning."""
    file.text.seek(0)
    first = next((line for line in read_lines(file.text) if not is_blank(line)), None)
    columns = read_header(first) if first is not None else None
    file.text.seek(0)
    return (columns, first.number) if columns and first else (Columns(), 0)


def read_batches(
    file: EdgeFile, *, counts: Counts, end: int, latest_ms: int, lines: int
) -> Iterator[Batch]:
    """The rest of the file from byte `end`, in batches of `lines` lines. `counts` are those of the lines before it."""
    columns, header = read_columns(file)
    file.text.seek(end)
    rest = read_lines(file.text, number=counts.lines, end=end)
    followee_id = ""
    while taken := list(islice(rest, lines)):
        batch = Batch(replace(counts, lines=taken[-1].number), taken[-1].end)
        for line in taken:
            if is_blank(line) or line.number == header:
                continue
            match parse(line, columns, latest_ms=latest_ms):
                case Edge() as edge:
                    batch.edges.append((line, edge))
                    batch.counts.edges += 1
                    batch.counts.followee_runs += edge.followee_id != followee_id
                    followee_id = edge.followee_id
                case Wrong() as wrong:
                    batch.wrong.append((line, wrong))
        yield batch
        # The caller may have added to them.
        counts = batch.counts
