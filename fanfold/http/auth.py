"""The actor: the user of the credential, never of the body."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.security import APIKeyHeader
from starlette.requests import HTTPConnection

from fanfold.http.identity.credentials import READ, USER_ID_HEADER, WRITE, Credential
from fanfold.http.identity.identity import Identity
from fanfold.http.identity.sessions import remember_credential
from fanfold.http.identity.tickets import presented
from fanfold.http.problems import MissingScope

_READS = {"GET", "HEAD"}
_SCOPE = "fanfold.scope"
_ACTING = "fanfold.acting"


class _ActingUser(APIKeyHeader):
    # The scheme itself, not a dependency that needs it: FastAPI resolves every level again for each guard.
    async def __call__(self, request: HTTPConnection) -> str:
        """The user of the request's credential. Answers 401 without a valid one, 403 when it lacks the scope of the method."""
        identity: Identity = request.app.state.identity
        credential = presented(request) or await identity.credential(request)
        of_method = READ if request.scope["method"] in _READS else WRITE
        scope = request.scope.get(_SCOPE, of_method)
        if not credential.allows(scope):
            raise MissingScope(scope)
        remember_credential(request.scope, credential)
        request.scope[_ACTING] = credential
        return credential.user_id


acting_user = _ActingUser(
    name=USER_ID_HEADER,
    scheme_name="UserId",
    description="The acting user. Only where `FANFOLD_AUTH=header`: on a developer's machine, or behind a gateway that authenticates and sets it.",
)

Actor = Annotated[str, Security(acting_user)]
"""A parameter of this type makes a route need a credential, and receives the acting user's id."""


async def _reads(request: HTTPConnection) -> None:
    request.scope[_SCOPE] = READ


READS: list[Any] = [Depends(_reads)]
"""The first dependencies of a route that has the method of a write and changes nothing of a user's: it needs the scope of reads."""


async def _acting(request: HTTPConnection, _actor: Actor) -> Credential:
    credential: Credential = request.scope[_ACTING]
    return credential


ActingCredential = Annotated[Credential, Depends(_acting)]
"""A parameter of this type receives the credential of the request."""
