"""What a credential says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fanfold.core.ids import USER_ID_PATTERN

USER_ID_HEADER = "X-User-Id"

READ = "fanfold:read"
WRITE = "fanfold:write"
ADMIN = "fanfold:admin"
SCOPES = (READ, WRITE, ADMIN)

_USER_ID = re.compile(USER_ID_PATTERN)
_LONGEST_USER_ID = 64


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
