"""Bearer tokens: verified once, then known by their hash until they expire."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from hashlib import sha256
from typing import Protocol

from cachetools import LRUCache
from starlette.requests import HTTPConnection

from fanfold.core.clock import Clock
from fanfold.http.identity.credentials import Credential
from fanfold.http.identity.key_set import VerificationKey
from fanfold.http.identity.sessions import OpenAnswers
from fanfold.http.identity.tokens import InvalidToken, TokenRules
from fanfold.http.problems import Unauthenticated

_SCHEME = "bearer "
_CHALLENGE = 'Bearer realm="fanfold"'
_REMEMBERED = 20_000


class Keys(Protocol):
    """An issuer's keys."""

    generation: int
    """A number that changes with the keys: a token that was verified before may have been signed with a key that is gone."""

    def refuse_outdated(self) -> None:
        """Answer 503 while the keys are unknown, or too old to be trusted."""
        ...

    async def find(self, key_id: str) -> VerificationKey | None:
        """The key of that `kid`."""
        ...


class BearerIdentity:
    """Accepts the tokens of one issuer. `X-User-Id` is not read.

    Verifying a token costs 110 to 310 µs, so a token that was accepted is remembered, by its SHA-256, as long as the keys
    stay the same. Only accepted tokens are remembered: a flood of others can't push them out.
    """

    header = "Authorization"

    def __init__(
        self, keys: Keys, rules: TokenRules, *, clock: Clock, remembered: int = _REMEMBERED
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._accepted: MutableMapping[bytes, Credential] = LRUCache(remembered)
        self._generation = keys.generation
        self.open_answers = OpenAnswers(clock)
        self.revoked: Callable[[Credential], bool] = _never

    async def credential(self, connection: HTTPConnection) -> Credential:
        """What the request's token says."""
        token = _bearer_token(connection)
        self._keys.refuse_outdated()
        if self._generation != self._keys.generation:
            self._generation = self._keys.generation
            self._accepted.clear()
        digest = sha256(token.encode("latin-1")).digest()
        credential = self._accepted.get(digest)
        if credential is None:
            now_s = self._clock.now_ms() / 1000
            credential = await self._rules.verify(token, self._keys.find, now_s)
            self._accepted[digest] = credential
        self.refuse_ended(credential)
        return credential

    def refuse_ended(self, credential: Credential) -> None:
        """Answer 401 if a token that was accepted has expired since, or is revoked."""
        self._rules.check_expiry(credential, self._clock.now_ms() / 1000)
        if self.revoked(credential):
            raise InvalidToken("Send a new token: this one is revoked.")

    async def ready(self) -> None:
        """Ready once the keys are known."""
        self._keys.refuse_outdated()


def _never(_credential: Credential) -> bool:
    return False


def _bearer_token(connection: HTTPConnection) -> str:
    values = connection.headers.getlist("authorization")
    if not values:
        raise Unauthenticated(
            "Send a token: Authorization: Bearer, and the token.", challenge=_CHALLENGE
        )
    if len(values) > 1:
        raise InvalidToken("Send exactly one Authorization header.")
    if not values[0].lower().startswith(_SCHEME):
        raise Unauthenticated(
            "Send a token: Authorization: Bearer, and the token.", challenge=_CHALLENGE
        )
    return values[0][len(_SCHEME) :].strip(" ")
