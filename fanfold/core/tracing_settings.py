"""Whether this process records traces, from OpenTelemetry's own variables. The SDK reads the others (`OTEL_*`) itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_PROTOCOL = "http/protobuf"


class TracingSettings(BaseSettings):
    """Off unless an exporter or an endpoint is set: the specification's default would send to a collector on this machine."""

    model_config = SettingsConfigDict(
        env_prefix="OTEL_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    sdk_disabled: bool = False
    traces_exporter: Literal["otlp", "console", "none"] | None = None
    exporter_otlp_endpoint: str | None = None
    exporter_otlp_traces_endpoint: str | None = None
    exporter_otlp_protocol: str = _PROTOCOL
    exporter_otlp_traces_protocol: str | None = None
    service_name: str | None = None
    attribute_value_length_limit: int = Field(1024, ge=0)
    """Characters. The specification has no bound by default, and a client chooses the query of its request."""

    @property
    def exporter(self) -> Literal["otlp", "console"] | None:
        """Where spans go; None: no traces are recorded."""
        if self.sdk_disabled or self.traces_exporter == "none":
            return None
        if self.traces_exporter is not None:
            return self.traces_exporter
        has_endpoint = self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint
        return "otlp" if has_endpoint else None

    @model_validator(mode="after")
    def _protocol_is_ours(self) -> TracingSettings:
        protocol = self.exporter_otlp_traces_protocol or self.exporter_otlp_protocol
        if self.exporter == "otlp" and protocol != _PROTOCOL:
            raise ValueError(f"use {_PROTOCOL} in OTEL_EXPORTER_OTLP_PROTOCOL, or leave it out")
        return self
