"""One trace through the services: from the request over the log to the fan-out, and to the feed that a client reads."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.adapters.sqlite.log_view import SqliteLogView
from fanfold.core import tracing
from fanfold.core.clock import SystemClock
from fanfold.core.events import PROJECTED_TOPICS, UserFollowed, event_name, from_ms
from fanfold.core.json_logs import JsonLines
from fanfold.core.settings import Settings
from tests.support.spans import recorded, tree
from tests.support.stacks import EmbeddedStack, embedded_stack

TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with recorded() as exporter:
        yield exporter


@pytest.fixture
async def stack(spans: InMemorySpanExporter, tmp_path: Path) -> AsyncIterator[EmbeddedStack]:
    # Two followers fill a bucket, so three are two generations: 17 slices.
    settings = Settings(bucket_followers=2)
    async with embedded_stack(settings, tmp_path / "log.sqlite") as running:
        yield running


async def post(stack: EmbeddedStack, author: str, headers: dict[str, str]) -> str:
    answer = await stack.api(
        "POST", "/posts", actor=author, json={"content": "hello"}, headers=headers
    )
    assert answer.status_code == 201
    post_id: str = answer.json()["post_id"]
    await stack.quiet()
    return post_id


async def follow(stack: EmbeddedStack, *followers: str) -> None:
    now = from_ms(SystemClock().now_ms())
    await stack.log.append_many(
        [
            UserFollowed(follower_id=follower, followee_id="bob", followed_at=now)
            for follower in followers
        ]
    )
    await stack.quiet()


async def test_a_post_and_the_read_of_it_are_one_trace(
    stack: EmbeddedStack, spans: InMemorySpanExporter
) -> None:
    await follow(stack, "alice")
    spans.clear()
    post_id = await post(stack, "bob", CLIENT)
    read = await stack.api("GET", "/users/alice/feed", actor="alice", headers=CLIENT)
    found = spans.get_finished_spans()
    assert tree(found) == [
        "POST /posts",
        ".send posts.v1",
        "..process posts.v1",
        "...deliver slice",
        "GET /users/{user_id}/feed",
    ]
    assert {trace_of(span) for span in found} == {TRACE}
    said = {span.name: dict(span.attributes or {}) for span in found}
    assert said["process posts.v1"]["fanfold.post.id"] == post_id
    assert said["process posts.v1"]["fanfold.strategy"] == "push"
    assert said["deliver slice"]["fanfold.rows"] == 1
    assert said["GET /users/{user_id}/feed"]["fanfold.items"] == 1
    assert said["GET /users/{user_id}/feed"]["fanfold.request_id"] == read.headers["x-request-id"]
    # Neither texts nor credentials.
    assert "hello" not in json.dumps([span.to_json() for span in found])
    assert "x-user-id" not in json.dumps([span.to_json() for span in found]).lower()


@pytest.mark.slow
async def test_the_slices_of_a_large_audience_are_traces_linked_to_the_posts(
    stack: EmbeddedStack, spans: InMemorySpanExporter
) -> None:
    await follow(stack, "alice", "carl", "dave")
    spans.clear()
    post_id = await post(stack, "bob", CLIENT)
    found = spans.get_finished_spans()
    of_post = [span for span in found if trace_of(span) == TRACE]
    assert tree(of_post) == [
        "POST /posts",
        ".send posts.v1",
        "..process posts.v1",
        "...send fanout.commands.v1",
    ]
    (sent,) = (span for span in of_post if span.name == "send fanout.commands.v1")
    assert (sent.attributes or {})["messaging.batch.message_count"] == 17
    apart = [span for span in found if trace_of(span) != TRACE]
    slices = [span for span in apart if span.name == "process fanout.commands.v1"]
    assert len({trace_of(span) for span in slices}) == 17
    for span in slices:
        assert span.parent is None
        (link,) = span.links
        assert sent.context is not None
        assert (link.context.trace_id, link.context.span_id) == (
            sent.context.trace_id,
            sent.context.span_id,
        )
        assert (span.attributes or {})["fanfold.post.id"] == post_id
    assert (
        sum(
            int(str((span.attributes or {})["fanfold.rows"]))
            for span in apart
            if span.name == "deliver slice"
        )
        == 3
    )
    assert len(apart) == 2 * 17


async def test_a_client_that_is_not_traced_leaves_no_span(
    stack: EmbeddedStack, spans: InMemorySpanExporter
) -> None:
    await follow(stack, "alice", "carl", "dave")
    spans.clear()
    await post(stack, "bob", NOT_SAMPLED)
    assert spans.get_finished_spans() == ()


def test_a_failure_is_marked_without_its_text(spans: InMemorySpanExporter) -> None:
    def fail() -> None:
        parent = tracing.TraceParent(1, 2, 1)
        with running().follow(parent, "process", {}), tracing.doing("step", {}):
            raise ValueError("secret")

    with pytest.raises(ValueError, match="secret"):
        fail()
    step, process = spans.get_finished_spans()
    for span in (step, process):
        assert not span.status.is_ok
        assert dict(span.attributes or {})["error.type"] == "ValueError"
        assert "secret" not in span.to_json()


def test_a_slice_of_a_recorded_post_is_recorded_whatever_the_sampler_says_of_others() -> None:
    with recorded(ALWAYS_OFF) as exporter:
        with running().link(tracing.TraceParent(1, 2, 1), "a slice", {}):
            pass
        with running().follow(tracing.TraceParent(1, 2, 1), "another step", {}):
            pass
    assert [span.name for span in exporter.get_finished_spans()] == ["a slice"]


async def test_events_of_every_kind_carry_the_trace_of_their_request(
    stack: EmbeddedStack, spans: InMemorySpanExporter
) -> None:
    await stack.api("PUT", "/users/bob", actor="bob", json={"display_name": "Bob"})
    post_id = await post(stack, "bob", NOT_SAMPLED)
    for method, path, body in (
        ("PUT", "/users/alice", {"display_name": "Alice"}),
        ("PUT", "/users/alice/following/bob", None),
        ("DELETE", "/users/alice/following/bob", None),
        ("PUT", "/users/alice/muted/bob", None),
        ("PUT", f"/posts/{post_id}/like", None),
    ):
        answer = await stack.api(method, path, actor="alice", json=body, headers=CLIENT)
        assert answer.is_success, answer.text
    await stack.api(
        "PATCH", f"/posts/{post_id}", actor="bob", json={"content": "x"}, headers=CLIENT
    )
    await stack.quiet()
    assert isinstance(stack.log, SqliteLog)
    view = SqliteLogView(stack.log)
    carried = {
        event_name(record.headers)
        for topic in PROJECTED_TOPICS
        for record in await view.records(topic, await view.spans(topic))
        if (parent := tracing.TraceParent.of(record)) and parent.trace_id == int(TRACE, 16)
    }
    assert carried == {
        *("UserRegistered", "UserFollowed", "UserUnfollowed"),
        *("UserMuted", "PostLiked", "PostEdited"),
    }


async def test_what_a_client_chooses_is_bounded_in_its_spans(
    stack: EmbeddedStack, spans: InMemorySpanExporter
) -> None:
    spans.clear()
    members = [f"vendor{n}={'x' * 200}" for n in range(20)]
    headers = {**CLIENT, "tracestate": ",".join(members)}
    await stack.api(
        "GET", f"/users/alice/feed?nothing={'y' * 3_000}", actor="alice", headers=headers
    )
    (span,) = spans.get_finished_spans()
    assert max(len(str(value)) for value in (span.attributes or {}).values()) == 1024
    assert span.context is not None
    assert span.context.trace_state.to_header() == ",".join(members[:2])
    spans.clear()
    few = {**CLIENT, "tracestate": "vendor=a,other=b"}
    await stack.api("GET", "/users/alice/feed", actor="alice", headers=few)
    (span,) = spans.get_finished_spans()
    assert span.context is not None
    assert span.context.trace_state.to_header() == "vendor=a,other=b"


async def test_probes_are_not_traced(stack: EmbeddedStack, spans: InMemorySpanExporter) -> None:
    spans.clear()
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await stack.api("GET", path)).status_code == 200
    assert spans.get_finished_spans() == ()


async def test_log_lines_name_the_span() -> None:
    record = logging.makeLogRecord({"msg": "hello"})
    assert "trace_id" not in json.loads(JsonLines().format(record))
    with recorded(), running().follow(tracing.TraceParent(int(TRACE, 16), 2, 1), "work", {}):
        line = json.loads(JsonLines().format(record))
    assert line["trace_id"] == TRACE
    assert len(line["span_id"]) == 16


@pytest.mark.slow
def test_without_traces_nothing_of_the_sdk_is_imported() -> None:
    """In a process of its own: this one has imported it."""
    code = """
import sys
import all_in_one.system, feed_service.__main__, fanout_service.__main__
loaded = {name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf"))}
assert not loaded, loaded
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.adapters.sqlite.log_view import SqliteLogView
from fanfold.core import tracing
from fanfold.http.app import make_app
async def ready(): pass
app = make_app(title="t", routers=[], ready=ready)
assert tracing.spans() is None and tracing.sending("t") is tracing.doing("d", {}) and tracing.carried() == []
assert not app._native_telemetry.enabled()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def running() -> tracing.Spans:
    found = tracing.spans()
    assert found is not None
    return found


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"
