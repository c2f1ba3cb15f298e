"""What FastAPI and pydantic found wrong with a request, in our words and without what the client sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError

from fanfold.core.ids import USER_ID_PATTERN
from fanfold.http.problems import Invalid, WhatToChange

_BY_PATTERN = {USER_ID_PATTERN: "Use 1-64 of A-Z a-z 0-9 . _ - but not '.' or '..'."}
_BY_TYPE = {
    "missing": "Add it: it is required.",
    "extra_forbidden": "Remove it: no such field is known here.",
    "model_attributes_type": "Send a JSON object.",
    "dict_type": "Send a JSON object.",
    "list_type": "Send a list.",
    "string_unicode": "Send text without lone surrogates.",
    "string_type": "Send text, in quotes.",
    "string_too_short": "Write something: it is empty.",
    "bool_parsing": "Send true or false.",
}
_PRINTABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def invalid_request(error: RequestValidationError) -> Invalid:
    """The 422 for these errors: the first twenty, each once."""
    errors: list[WhatToChange] = []
    for found in error.errors()[:20]:
        change = _what_to_change(found)
        # A parameter that a guard reads too is validated twice.
        if change not in errors:
            errors.append(change)
    return Invalid("Change what `errors` lists.", errors=errors)


def _bounds(found: Mapping[str, Any]) -> str | None:
    """For a parameter of which only some words are known, and for a list of bounded length."""
    match found["type"]:
        case "literal_error":
            return f"Send {found['ctx']['expected']}."
        case "too_long":
            return f"Send at most {found['ctx']['max_length']}."
        case "too_short":
            return f"Send at least {found['ctx']['min_length']}."
    return None


def _what_to_change(found: Mapping[str, Any]) -> WhatToChange:
    where, *path = found["loc"]
    kind = found["type"]
    detail = (
        _bounds(found)
        or _BY_PATTERN.get(str(found.get("ctx", {}).get("pattern")))
        or _BY_TYPE.get(kind)
        or str(found["msg"]).removeprefix("Value error, ")
    )
    if kind == "missing" and not path:
        detail = "Send a JSON object."
    # The name of an unknown field is text that the client sent.
    names = [str(part) if _PRINTABLE_NAME.fullmatch(str(part)) else "?" for part in path]
    pointer = "".join(f"/{name}" for name in names) if where == "body" else ".".join(names)
    return WhatToChange(where=str(where), pointer=pointer, detail=detail)
