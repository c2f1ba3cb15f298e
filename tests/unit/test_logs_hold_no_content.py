"""No log record holds what users wrote, whatever fails: the marker stands in the content of every poisoned record."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from fanfold.core.errors import Fault, LogUnavailable
from fanfold.core.events import POSTS, PostCreated, PostEvent
from fanfold.core.json_logs import JsonLines
from fanfold.core.ports.log import Record
from fanout_service.process_batch import BatchProcessor, Project, Route
from fanout_service.recorded_event import RecordedEvent
from tests.support.clock import ManualClock
from tests.support.fanout import a_record
from tests.support.logs import a_post

ROOT = Path(__file__).parents[2]
MARKER = "what-a-user-wrote"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
WHOLE = {
    "batch", "body", "content", "entries", "entry", "event", "events", "group", "payload", "post", "posts", "record",
    "recorded", "records", "request", "unit", "value",
}  # fmt: skip
POSITIONS = {"position", "topic", "partition", "offset"}


class Lines(logging.Handler):
    """Every log record of this process, as the services write it."""

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(level)


class DeadLetters:
    """The part of a log that processing needs."""

    def __init__(self) -> None:
        self.dead: list[Record] = []

    async def dead_letter(self, record: Record, reason: str) -> None:
        self.dead.append(record)


def failing(error: Exception) -> Project[PostEvent]:
    async def project(group: Sequence[RecordedEvent[PostEvent]]) -> None:
        raise error

    return project


async def process(record: Record, error: Exception) -> list[Record]:
    """The dead letters of one record, whose projection fails with this error."""
    log = DeadLetters()
    processor = BatchProcessor(
        log=log,  # type: ignore[arg-type]
        clock=ManualClock(autojump=True),
        retry_budget_s=1,
        max_clock_skew_s=2,
        dead_letter_limit=100,
    )
    route = Route(get_args(PostEvent), failing(error), lambda recorded: recorded.event.key)
    await processor.process([record, record], route)
    return log.dead


def a_marked_record() -> Record:
    return a_record(a_post(content=MARKER))


def a_caused_error() -> Exception:
    error = ValueError("outer")
    error.__cause__ = KeyError(MARKER)
    return error


def poisoned() -> dict[str, Record]:
    """Records that can't be read, each for another reason."""
    record = a_marked_record()
    assert record.value is not None
    return {
        "no JSON": replace(record, value=MARKER.encode()),
        "a wrong type": replace(record, value=f'{{"content": ["{MARKER}"]}}'.encode()),
        "a wrong id": replace(record, value=record.value.replace(b'"post_id":"', b'"post_id":"x')),
        "an alien key": replace(record, key=MARKER.encode()),
        "another topic": replace(record, topic="graph.v1"),
    }


@pytest.mark.parametrize("why", poisoned())
async def test_a_record_that_cannot_be_read_is_logged_by_its_position(
    why: str, lines: list[str]
) -> None:
    record = poisoned()[why]
    assert len(await process(record, AssertionError("never projected"))) == 2
    assert any(str(record.position) in line for line in lines)
    assert [line for line in lines if MARKER in line] == []


@pytest.mark.parametrize(
    "error",
    [KeyError(MARKER), ValueError(a_marked_record()), ExceptionGroup(MARKER, [KeyError(MARKER)]), a_caused_error()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_an_unexpected_error_is_logged_by_type_and_position(
    error: Exception, lines: list[str]
) -> None:
    record = a_marked_record()
    assert len(await process(record, error)) == 2
    assert any(type(error).__name__ in line and str(record.position) in line for line in lines)
    assert [line for line in lines if MARKER in line] == []


async def test_a_worker_that_gives_up_logs_no_content(lines: list[str]) -> None:
    with pytest.raises(Fault) as gave_up:
        await process(a_marked_record(), LogUnavailable("away"))
    logging.getLogger("test").critical("exiting", exc_info=gave_up.value)
    assert any("Fault: no success within 1 s: away" in line for line in lines)
    assert [line for line in lines if MARKER in line] == []


def test_a_traceback_has_frames_and_types_and_the_text_of_our_errors_only(lines: list[str]) -> None:
    try:
        try:
            raise KeyError(MARKER)
        except KeyError as error:
            raise Fault("stop the workers") from error
    except Fault:
        logging.getLogger("test").exception("failed")
    assert "test_logs_hold_no_content.py" in lines[0]
    assert "KeyError" in lines[0]
    assert "Fault: stop the workers" in lines[0]
    assert MARKER not in lines[0].replace("raise KeyError(MARKER)", "")


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    for package in ("fanfold", "services", "deploy", "bench"):
        for module in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(module.read_text())):
                match node:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=level)):
                        if name in {"log", "logger", "logging"} and level in LEVELS:
                            yield f"{module.relative_to(ROOT)}:{node.lineno}", node


def whole_things(node: ast.AST) -> Iterator[str]:
    """Names in an argument that stand for a record, an event or a text, and not for its position or its number."""
    match node:
        case ast.Call(func=ast.Name(id="len")):
            return
        case ast.Attribute(attr=attribute) if attribute in POSITIONS:
            return
        case ast.Name(id=name) if name in WHOLE:
            yield name
        case ast.Attribute(attr=attribute) if attribute in WHOLE:
            yield attribute
    for inner in ast.iter_child_nodes(node):
        yield from whole_things(inner)


@pytest.mark.slow
def test_no_log_call_is_given_a_record_an_event_or_a_text() -> None:
    calls = list(log_calls())
    assert len(calls) > 15, "the search finds too few calls, so it proves nothing"
    found = [
        (where, name)
        for where, call in calls
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
        for name in whole_things(argument)
    ]
    assert found == []


def test_the_search_finds_a_whole_record() -> None:
    (statement,) = ast.parse('logger.error("%s of %d", unit[0], len(unit), record.position)').body
    assert isinstance(statement, ast.Expr)
    assert list(whole_things(statement.value)) == ["unit"]
    assert PostCreated.topic == POSTS
