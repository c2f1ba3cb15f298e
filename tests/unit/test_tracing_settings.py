"""Traces are off unless OpenTelemetry's variables ask for them, and a wrong variable says what to change."""

from __future__ import annotations

import pytest

from fanfold.core.errors import Fault
from fanfold.core.read_settings import read_tracing_settings

ENDPOINT = {"EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def set_only(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("SDK_DISABLED", "TRACES_EXPORTER", "EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(f"OTEL_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_{name}", value)


@pytest.mark.parametrize(
    ("variables", "exporter"),
    [
        ({}, None),
        ({"SERVICE_NAME": "x", "TRACES_SAMPLER": "always_on"}, None),
        ({"EXPORTER_OTLP_ENDPOINT": ""}, None),
        (ENDPOINT, "otlp"),
        ({"EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, "otlp"),
        ({"TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"TRACES_EXPORTER": "console"}, "console"),
        ({**ENDPOINT, "TRACES_EXPORTER": "none"}, None),
        ({**ENDPOINT, "SDK_DISABLED": "true"}, None),
        # Of a process that sends nothing, no protocol is wrong.
        ({"EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
    ],
)
def test_an_endpoint_or_an_exporter_turns_traces_on(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], exporter: str | None
) -> None:
    set_only(monkeypatch, variables)
    assert read_tracing_settings().exporter == exporter


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: use 'otlp', 'console' or 'none'"),
        (
            {**ENDPOINT, "EXPORTER_OTLP_PROTOCOL": "grpc"},
            "use http/protobuf in OTEL_EXPORTER_OTLP_PROTOCOL, or leave it out",
        ),
    ],
)
def test_a_variable_that_cannot_be_followed_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    set_only(monkeypatch, variables)
    with pytest.raises(Fault) as refused:
        read_tracing_settings()
    assert str(refused.value) == said
