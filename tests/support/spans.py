"""The spans that a test reads: kept in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler

from fanfold.core import tracing
from fanfold.core.tracing_settings import TracingSettings
from fanfold.http.open_telemetry import OpenTelemetrySpans, provider_of


@contextmanager
def recorded(sampler: Sampler = DEFAULT_ON) -> Iterator[InMemorySpanExporter]:
    """Record spans until the block ends."""
    exporter = InMemorySpanExporter()
    provider = provider_of(TracingSettings(), service="test")
    provider.sampler = sampler
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(OpenTelemetrySpans(provider))
    try:
        yield exporter
    finally:
        tracing.use(None)


def tree(spans: Sequence[ReadableSpan], *, below: int | None = None, depth: int = 0) -> list[str]:
    """The names, in the order in which they began, each behind as many dots as it has ancestors among them."""
    ids = {span.context.span_id for span in spans if span.context}
    lines: list[str] = []
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        parent = span.parent.span_id if span.parent and span.parent.span_id in ids else None
        if parent == below and span.context:
            lines.append("." * depth + span.name)
            lines += tree(spans, below=span.context.span_id, depth=depth + 1)
    return lines
