"""What a credential says, and the port that reads it from a request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import HTTPConnection

from fanfold.core.ids import USER_ID_PATTERN
from fanfold.http.problems import Unauthenticated

USER_ID_HEADER = "X-User-Id"

READ = "fanfold:read"
WRITE = "fanfold:write"
ADMIN = "fanfold:admin"
SCOPES = (READ, WRITE, ADMIN)

_USER_ID = re.compile(USER_ID_PATTERN)
_LONGEST_USER_ID = 64
_API_KEY = f'ApiKey name="{USER_ID_HEADER}"'


def is_user_id(text: str) -> bool:
    """Whether the text may be a user id."""
    return len(text) <= _LONGEST_USER_ID and _USER_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Credential:
    """The acting user, and what the user allowed this client to do. Times are seconds since the Unix epoch."""

    user_id: str
    scopes: frozenset[str]
    issued_s: float = 0.0
    expires_s: float | None = None
    token_id: str | None = None
    """The token's `jti`."""

    def allows(self, scope: str) -> bool:
        """Whether it has this scope. `fanfold:admin` includes the others; it opens no route of another user."""
        return scope in self.scopes or ADMIN in self.scopes


class Identity(Protocol):
    """Reads the credential of a request. A composition root makes it (`open_identity`)."""

    async def credential(self, connection: HTTPConnection) -> Credential:
        """The request's credential. Raises `Unauthenticated`, or `NotNow` while that can't be decided."""
        ...

    async def ready(self) -> None:
        """Return if credentials can be decided now. Raises `NotNow`."""
        ...


class HeaderIdentity:
    """Trusts `X-User-Id`: for a developer's machine, or behind a gateway that authenticates and sets it."""

    async def credential(self, connection: HTTPConnection) -> Credential:
        """The user of `X-User-Id`, with all scopes. Answers 401 when it is missing, malformed or sent twice."""
        # A gateway that appends the header instead of replacing it would let the client choose the first value.
        values = connection.headers.getlist(USER_ID_HEADER)
        if len(values) != 1:
            raise Unauthenticated(f"Send exactly one {USER_ID_HEADER} header.", challenge=_API_KEY)
        if not is_user_id(values[0]):
            raise Unauthenticated(
                f"Send 1-64 of A-Z a-z 0-9 . _ - in {USER_ID_HEADER}.", challenge=_API_KEY
            )
        return Credential(values[0], _ALL)

    async def ready(self) -> None:
        """Always."""


_ALL = frozenset(SCOPES)
