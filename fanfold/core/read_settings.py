"""Reads the settings of the environment. A wrong one raises a `Fault` with a message of one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fanfold.core.errors import Fault
from fanfold.core.settings import Settings
from fanfold.core.tracing_settings import TracingSettings

# The messages of pydantic for these name types of Python.
_PLAINLY = {
    "int_parsing": "use a whole number",
    "int_from_float": "use a whole number",
    "int_parsing_size": "use a smaller number",
    "float_parsing": "use a number",
    "finite_number": "use a finite number",
    "greater_than": "use a number above {gt}",
    "greater_than_equal": "use a number from {ge} on",
    "less_than_equal": "use a number up to {le}",
    "literal_error": "use {expected}",
}


def read_settings(**given: Any) -> Settings:
    """The environment's settings, overridden by those given. Raises `Fault`, which names each wrong one and what to change."""
    try:
        return Settings(**given)
    except ValidationError as error:
        raise _fault(error, "FANFOLD_") from None


def read_tracing_settings() -> TracingSettings:
    """The environment's settings for traces. Raises `Fault` likewise."""
    try:
        return TracingSettings()
    except ValidationError as error:
        raise _fault(error, "OTEL_") from None


def _fault(error: ValidationError, prefix: str) -> Fault:
    return Fault("; ".join(_what_to_change(found, prefix) for found in error.errors()))


def _what_to_change(found: ErrorDetails, prefix: str) -> str:
    """Without the value: it may be a password."""
    context: Mapping[str, Any] = found.get("ctx", {})
    said = _PLAINLY.get(found["type"], found["msg"]).format(**context)
    said = said.removeprefix("Value error, ")
    if not found["loc"]:
        return said
    # Where it comes from the environment, its name is that of the variable; where it was given, that of the field.
    name = str(found["loc"][0]).lower().removeprefix(prefix.lower())
    return f"{prefix}{name.upper()}: {said}"
