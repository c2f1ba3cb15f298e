"""The port that reads a request's credential, and the identity that trusts a header."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import HTTPConnection

from fanfold.core.clock import SystemClock
from fanfold.http.identity.credentials import SCOPES, USER_ID_HEADER, Credential, is_user_id
from fanfold.http.identity.sessions import OpenAnswers
from fanfold.http.problems import Unauthenticated

_API_KEY = f'ApiKey name="{USER_ID_HEADER}"'
_ALL = frozenset(SCOPES)


class Identity(Protocol):
    """Reads the credential of a request. A composition root makes it (`open_identity`)."""

    open_answers: OpenAnswers
    """Answers that go on, and end with their credential."""
    header: str
    """The header that credentials are sent in."""

    async def credential(self, connection: HTTPConnection) -> Credential:
        """The request's credential. Raises `Unauthenticated`, or `NotNow` while that can't be decided."""
        ...

    def refuse_ended(self, credential: Credential) -> None:
        """Answer 401 if this credential, which was accepted before, has expired or is revoked."""
        ...

    async def ready(self) -> None:
        """Return if credentials can be decided now. Raises `NotNow`."""
        ...


class HeaderIdentity:
    """Trusts `X-User-Id`: for a developer's machine, or behind a gateway that authenticates and sets it."""

    header = USER_ID_HEADER

    def __init__(self) -> None:
        self.open_answers = OpenAnswers(SystemClock())

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

    def refuse_ended(self, credential: Credential) -> None:
        """Never: such a credential has no end."""

    async def ready(self) -> None:
        """Always."""
