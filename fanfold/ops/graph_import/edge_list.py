"""Parses an edge list line by line: an edge, or the reason why the line is rejected. Pure, but for reading the file."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import BinaryIO, NamedTuple

from fanfold.core.errors import Rejected
from fanfold.core.events import to_ms
from fanfold.core.ids import USER_ID_PATTERN

LONGEST_LINE = 4096
"""Bytes. Two ids and a time need under 200; a longer line is not part of an edge list, and is not read into memory whole."""

_BOM = b"\xef\xbb\xbf"
_COLUMNS = {
    "follower": "follower",
    "follower_id": "follower",
    "followee": "followee",
    "followee_id": "followee",
    "time": "time",
    "followed_at": "time",
}
_USER_ID = re.compile(USER_ID_PATTERN)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class Line(NamedTuple):
    """A line without its newline. `end` is the byte offset after it; `whole` is false if `raw` was cut."""

    number: int
    raw: bytes
    end: int
    whole: bool = True


class Edge(NamedTuple):
    """A valid line. `at_ms` is None if the file gives no time."""

    follower_id: str
    followee_id: str
    at_ms: int | None


class Wrong(NamedTuple):
    """A rejected line: the reason, written for the author of the file."""

    why: str


class Columns(NamedTuple):
    """The index of each column. Without a header: follower, followee, and optionally a time."""

    follower: int = 0
    followee: int = 1
    time: int | None = None
    named: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        return (3 if self.time is not None else 2,) if self.named else (2, 3)


def read_lines(file: BinaryIO, *, number: int = 0, end: int = 0) -> Iterator[Line]:
    """The lines from the current offset of `file` on; `number` and `end` are those of the previous line.

    The last line needs no newline. Only the beginning of a line over `LONGEST_LINE` is kept.
    """
    while raw := file.readline(LONGEST_LINE + 1):
        size, whole = len(raw), len(raw) <= LONGEST_LINE or raw.endswith(b"\n")
        rest = raw
        while not whole and rest and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE)
            size += len(rest)
        number, end = number + 1, end + size
        yield Line(number, raw.rstrip(b"\r\n") if whole else raw[:LONGEST_LINE], end, whole)


def read_header(line: Line) -> Columns | None:
    """The columns that a first line names; None if it is not a header.

    Raises `Rejected` for a header with other columns: else every line would be rejected for it.
    """
    names = [field.lower() for field in _fields(_text(line.raw) or "")]
    known = [_COLUMNS.get(name) for name in names]
    if not {"follower", "followee"} <= set(known):
        return None
    if None in known or len(set(known)) < len(known):
        raise Rejected(
            f"line {line.number} names the columns {', '.join(names)}: keep only follower, followee and"
            " optionally time, each once"
        )
    time = known.index("time") if "time" in known else None
    return Columns(known.index("follower"), known.index("followee"), time, named=True)


def is_blank(line: Line) -> bool:
    """Whether a line is empty, or a comment: it begins with #, which no id does."""
    text = line.raw.removeprefix(_BOM).strip()
    return not text or text.startswith(b"#")


def parse(line: Line, columns: Columns, *, latest_ms: int) -> Edge | Wrong:
    """The edge on a line that is not blank, or why it is rejected. Never raises. A time after `latest_ms` is in the future."""
    try:
        return _edge(line, columns, latest_ms)
    except _Bad as bad:
        return Wrong(str(bad))


class _Bad(Exception):
    """The reason why a line is rejected."""


def _edge(line: Line, columns: Columns, latest_ms: int) -> Edge:
    if not line.whole:
        raise _Bad(f"longer than {LONGEST_LINE} bytes")
    text = _text(line.raw)
    if text is None:
        raise _Bad("not UTF-8")
    fields = _fields(text)
    if len(fields) not in columns.widths:
        expected = " or ".join(str(width) for width in columns.widths)
        raise _Bad(f"{len(fields)} column{'s' * (len(fields) != 1)}, expected {expected}")
    follower_id, followee_id = fields[columns.follower], fields[columns.followee]
    _check_id("follower", follower_id)
    _check_id("followee", followee_id)
    if follower_id == followee_id:
        raise _Bad("a user can't follow themselves")
    column = columns.time if columns.named else 2
    time = fields[column] if column is not None and column < len(fields) else ""
    return Edge(follower_id, followee_id, _time(time, latest_ms) if time else None)


def _text(raw: bytes) -> str | None:
    try:
        return raw.removeprefix(_BOM).decode()
    except UnicodeDecodeError:
        return None


def _fields(text: str) -> Sequence[str]:
    # Ids and times contain no separators and no quotes, so CSV escapes are not needed.
    if "," in text:
        fields = text.split(",")
    elif "\t" in text:
        fields = text.strip("\r\n ").split("\t")
    else:
        return [_unquoted(field) for field in _spaced(text)]
    return [_unquoted(field.strip()) for field in fields]


def _spaced(text: str) -> list[str]:
    fields = text.split()
    # RFC 3339 allows a space instead of the T.
    if len(fields) == 4 and _RFC3339.fullmatch(f"{fields[2]} {fields[3]}"):
        return [*fields[:2], f"{fields[2]} {fields[3]}"]
    return fields


def _unquoted(field: str) -> str:
    return field[1:-1] if len(field) >= 2 and field[0] == field[-1] == '"' else field


def _check_id(name: str, user_id: str) -> None:
    if not user_id:
        raise _Bad(f"no {name}")
    if len(user_id) > 64:
        raise _Bad(f"the {name}'s id is longer than 64 characters")
    if not _USER_ID.fullmatch(user_id):
        raise _Bad(
            f"the {name}'s id may hold A-Z, a-z, 0-9, '.', '_' and '-' only, and not be '.' or '..'"
        )


def _time(text: str, latest_ms: int) -> int:
    at_ms = -1
    if _RFC3339.fullmatch(text):
        with contextlib.suppress(ValueError, OverflowError):
            at_ms = to_ms(datetime.fromisoformat(text.upper()))
    if at_ms < 0:
        raise _Bad("the time is not RFC 3339 since 1970 with a zone, like 2026-01-31T12:00:00Z")
    if at_ms > latest_ms:
        raise _Bad("the time is in the future")
    return at_ms
