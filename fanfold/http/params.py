"""Parameters that routes share: ids in paths, and paging."""

from __future__ import annotations

import re
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator

from fanfold.core.ids import USER_ID_PATTERN, UserId
from fanfold.http.problems import Invalid

# Only the canonical text: `UUID` also accepts braces, `urn:uuid:` and other versions.
POST_ID_PATTERN = (
    r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"
)
POST_ID = re.compile(POST_ID_PATTERN)
_DECIMAL = re.compile(r"-?[0-9]{1,15}")


def canonical_uuid7(text: str) -> str:
    """The same text. Raises `ValueError` unless it is the canonical form of a UUIDv7: that of a post id."""
    if len(text) != 36 or POST_ID.fullmatch(text) is None:
        raise ValueError("Send a post id: a UUIDv7 in its canonical form.")
    return text


def whole_number(least: int, most: int) -> BeforeValidator:
    """What every integer parameter accepts: plain decimal digits. All else gets one and the same answer."""

    def check(text: str | int) -> int:
        # A default that a route gives is an integer already.
        if _DECIMAL.fullmatch(str(text)) is None or not least <= int(text) <= most:
            raise ValueError(f"Send an integer from {least} to {most}.")
        return int(text)

    return BeforeValidator(check)


def _empty_is_absent(cursor: str | None) -> str | None:
    return cursor or None


UserIdPath = Annotated[UserId, Path(description="1-64 of `A-Za-z0-9._-`.")]

PostIdPath = Annotated[
    UUID,
    BeforeValidator(canonical_uuid7),
    Path(description="A UUIDv7.", json_schema_extra={"pattern": POST_ID_PATTERN}),
]

Limit = Annotated[
    int, Query(ge=1, le=100, description="Items in a page: 1-100."), whole_number(1, 100)
]
"""Items in a page; each route gives its own default."""

MOST_AT_ONCE = 100
"""Ids in one request."""

_USER_ID_SET = re.compile(USER_ID_PATTERN)


def _separated(pattern: str) -> str:
    one = pattern.removeprefix("^").removesuffix("$")
    return f"^{one}(?:,{one}){{0,{MOST_AT_ONCE - 1}}}$"


def user_ids_of(text: str) -> list[str]:
    """The distinct ids of `UserIds`, in their order. Answers 422 to anything else."""
    ids = _at_most(text.split(","))
    if any(len(user_id) > 64 or _USER_ID_SET.fullmatch(user_id) is None for user_id in ids):
        raise _wrong_ids("Send user ids, separated by commas: each 1-64 of `A-Za-z0-9._-`.")
    return list(dict.fromkeys(ids))


def post_ids_of(text: str) -> list[UUID]:
    """The distinct ids of `PostIds`, in their order. Answers 422 to anything else."""
    ids = _at_most(text.split(","))
    if any(POST_ID.fullmatch(post_id) is None for post_id in ids):
        raise _wrong_ids("Send post ids, separated by commas: each a UUIDv7 in its canonical form.")
    return list(dict.fromkeys(map(UUID, ids)))


def _at_most(ids: list[str]) -> list[str]:
    if len(ids) > MOST_AT_ONCE:
        raise _wrong_ids(f"Send at most {MOST_AT_ONCE} ids.")
    return ids


def _wrong_ids(detail: str) -> Invalid:
    return Invalid.at("query", "ids", detail)


UserIds = Annotated[
    str,
    Query(
        alias="ids",
        description=f"1-{MOST_AT_ONCE} user ids, separated by commas.",
        examples=["bob,carol"],
        json_schema_extra={"pattern": _separated(USER_ID_PATTERN)},
    ),
]
"""As sent; `user_ids_of` parses it."""

PostIds = Annotated[
    str,
    Query(
        alias="ids",
        description=f"1-{MOST_AT_ONCE} post ids, separated by commas.",
        json_schema_extra={"pattern": _separated(POST_ID_PATTERN)},
    ),
]
"""As sent; `post_ids_of` parses it."""

Cursor = Annotated[
    str | None,
    AfterValidator(_empty_is_absent),
    Query(description="`next_cursor` of the previous page; absent or empty for the first page."),
]
"""As sent; decode it with `fanfold.http.cursors.decode_cursor`."""
