"""`Spans` by OpenTelemetry's SDK. Imported only where the environment asks for traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from threading import Thread

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes as OtelAttributes

from fanfold.core.tracing import Attributes, TraceParent
from fanfold.core.tracing_settings import TracingSettings

STOP_S = 2.0
"""How long a process that stops waits for a collector that doesn't answer."""


LONGEST_TRACE_STATE = 512
"""Characters of a client's `tracestate` that are kept, in whole members: as many as W3C asks for. Each span of the request repeats them."""


class _OurSampler(Sampler):
    """The environment's sampler, but for two things: what is linked to a recorded span is recorded, and trace states are bounded.

    Otherwise a sampler that records one trace in a hundred would record one slice in a hundred of a recorded post.
    """

    def __init__(self, usual: Sampler) -> None:
        self._usual = usual

    def should_sample(  # noqa: PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: OtelAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if any(link.context.trace_flags.sampled for link in links or ()):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        usual = self._usual.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        return SamplingResult(usual.decision, usual.attributes, _bounded(usual.trace_state))

    def get_description(self) -> str:
        return f"Fanfold({self._usual.get_description()})"


def _bounded(state: TraceState | None) -> TraceState | None:
    """The latest members, which are the first, as far as they fit."""
    if not state or len(state.to_header()) <= LONGEST_TRACE_STATE:
        return state
    kept: list[tuple[str, str]] = []
    for member in state.items():
        if len(TraceState([*kept, member]).to_header()) > LONGEST_TRACE_STATE:
            break
        kept.append(member)
    return TraceState(kept)


class OpenTelemetrySpans:
    """See `fanfold.core.tracing.Spans`."""

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider
        provider.sampler = _OurSampler(provider.sampler)
        self._tracer = provider.get_tracer("fanfold")

    def current(self) -> TraceParent | None:
        span = trace.get_current_span()
        # A task that outlives its request still has the request's span, which has ended.
        if not span.is_recording():
            return None
        found = span.get_span_context()
        return TraceParent(found.trace_id, found.span_id, found.trace_flags)

    @contextmanager
    def inside(self, name: str, attributes: Attributes, *, sends: bool) -> Iterator[None]:
        if not trace.get_current_span().is_recording():
            yield
            return
        kind = SpanKind.PRODUCER if sends else SpanKind.INTERNAL
        with self._span(name, attributes, kind):
            yield

    def follow(
        self, parent: TraceParent, name: str, attributes: Attributes
    ) -> AbstractContextManager[None]:
        context = trace.set_span_in_context(NonRecordingSpan(_remote(parent)), Context())
        return self._span(name, attributes, SpanKind.CONSUMER, context=context)

    def link(
        self, parent: TraceParent, name: str, attributes: Attributes
    ) -> AbstractContextManager[None]:
        links = [Link(_remote(parent))]
        return self._span(name, attributes, SpanKind.CONSUMER, context=Context(), links=links)

    def describe(self, attributes: Attributes) -> None:
        trace.get_current_span().set_attributes(attributes)

    @contextmanager
    def _span(
        self,
        name: str,
        attributes: Attributes,
        kind: SpanKind,
        *,
        context: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            attributes=attributes,
            links=links,
            # The text of an error may repeat what users wrote.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise


@contextmanager
def exported(settings: TracingSettings, *, service: str) -> Iterator[OpenTelemetrySpans]:
    """Spans that go where the environment says. The last ones are sent at the end of the block, if the collector takes them in time."""
    provider = provider_of(settings, service=service)
    provider.add_span_processor(BatchSpanProcessor(_exporter(settings)))
    try:
        yield OpenTelemetrySpans(provider)
    finally:
        # Its default is to wait for half a minute.
        stopping = Thread(target=provider.shutdown, daemon=True)
        stopping.start()
        stopping.join(STOP_S)


def provider_of(settings: TracingSettings, *, service: str) -> TracerProvider:
    """A provider without an exporter. The values of its spans' attributes are bounded, for clients write some of them."""
    return TracerProvider(
        resource=_resource(settings, service),
        span_limits=SpanLimits(max_attribute_length=settings.attribute_value_length_limit),
        shutdown_on_exit=False,
    )


def _exporter(settings: TracingSettings) -> SpanExporter:
    if settings.exporter == "console":
        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _resource(settings: TracingSettings, service: str) -> Resource:
    ours = Resource(
        {"service.name": settings.service_name or service, "service.namespace": "fanfold"}
    )
    # OTEL_RESOURCE_ATTRIBUTES takes precedence.
    return ours.merge(OTELResourceDetector().detect())


def _remote(parent: TraceParent) -> SpanContext:
    return SpanContext(
        parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(parent.flags)
    )
