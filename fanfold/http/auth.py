"""The actor: the user of the credential, never of the body."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader
from starlette.requests import HTTPConnection

from fanfold.core.ids import USER_ID_PATTERN
from fanfold.http.problems import Unauthenticated

HEADER = "X-User-Id"

_USER_ID = re.compile(USER_ID_PATTERN)


class _UserIdHeader(APIKeyHeader):
    # The scheme itself, not a dependency that needs it: FastAPI resolves every level again for each guard.
    async def __call__(self, request: HTTPConnection) -> str:
        """The user of `X-User-Id`. Answers 401 when it is missing, malformed or sent twice."""
        # A gateway that appends the header instead of replacing it would let the client choose the first value.
        values = request.headers.getlist(HEADER)
        if len(values) != 1:
            raise Unauthenticated(f"Send exactly one {HEADER} header.")
        if len(values[0]) > 64 or _USER_ID.fullmatch(values[0]) is None:
            raise Unauthenticated(f"Send 1-64 of A-Z a-z 0-9 . _ - in {HEADER}.")
        return values[0]


acting_user = _UserIdHeader(
    name=HEADER,
    scheme_name="UserId",
    description="The acting user. A gateway that authenticates sets it.",
)

Actor = Annotated[str, Security(acting_user)]
"""A parameter of this type makes a route need a credential, and receives the acting user's id."""
