"""Logs as JSON lines on stderr, from the standard `logging`."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from fanfold.core import tracing
from fanfold.core.clock import rfc3339
from fanfold.core.errors import FanfoldError
from fanfold.core.request_id import current_request_id

_STANDARD = set(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class JsonLines(logging.Formatter):
    """One JSON object a record: time, level, logger, message, the ids of the request and of the span, the fields of `extra`, and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := current_request_id.get()) is not None:
            line["request_id"] = request_id
        if (span := tracing.current()) is not None:
            line["trace_id"], line["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["traceback"] = "".join(_traceback(record.exc_info[1]))
        return json.dumps(line, default=str)


def _traceback(error: BaseException | None, shown: frozenset[int] = frozenset()) -> Iterator[str]:
    """The frames of the error and of its causes, outermost first, and the types.

    Only errors of Fanfold and of the operating system keep their text: that of any other may repeat what users wrote.
    """
    # An error raised from a part of a group has the group as its cause's context.
    if error is None or id(error) in shown:
        return
    shown |= {id(error)}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _traceback(cause, shown)
        yield "and so:\n"
    yield from traceback.format_tb(error.__traceback__)
    text = f": {error}" if isinstance(error, (FanfoldError, OSError)) else ""
    yield f"{type(error).__name__}{text}\n"
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _traceback(inner, shown)


def configure_logging(level: str = "info") -> None:
    """Write every record of at least this level to stderr; called by a composition root."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
