"""Revocations of tokens that have not expired: of single tokens, and of users with all tokens that they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

KEPT_S = 7 * 24 * 3600
"""As long as the longest lifetime of a token that `FANFOLD_JWT_MAX_LIFETIME_S` allows: later nothing revoked is accepted anyway."""


class Revocation(NamedTuple):
    """A revoked token by its `jti`, or a user, whose tokens issued until `at_ms` are revoked."""

    kind: Literal["token", "user"]
    value: str
    at_ms: int


class Revocations(Protocol):
    """The deny-list of an installation. Each entry is kept for `KEPT_S`. Of two of the same kind and value the later stays."""

    async def revoke(self, revocation: Revocation) -> None:
        """Add an entry."""

    async def revoked(self) -> Sequence[Revocation]:
        """All entries, in order of kind and value."""
