"""The actor: the user of the credential, never of the body."""

from __future__ import annotations

from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader
from starlette.requests import HTTPConnection

from fanfold.http.identity.credentials import READ, USER_ID_HEADER, WRITE, Credential
from fanfold.http.identity.identity import Identity
from fanfold.http.identity.sessions import remember_credential
from fanfold.http.problems import MissingScope

_READS = {"GET", "HEAD"}


class _ActingUser(APIKeyHeader):
    # The scheme itself, not a dependency that needs it: FastAPI resolves every level again for each guard.
    async def __call__(self, request: HTTPConnection) -> str:
        """The user of the request's credential. Answers 401 without a valid one, 403 when it lacks the scope of the method."""
        identity: Identity = request.app.state.identity
        credential: Credential = await identity.credential(request)
        scope = READ if request.scope["method"] in _READS else WRITE
        if not credential.allows(scope):
            raise MissingScope(scope)
        remember_credential(request.scope, credential)
        return credential.user_id


acting_user = _ActingUser(
    name=USER_ID_HEADER,
    scheme_name="UserId",
    description="The acting user. Only where `FANFOLD_AUTH=header`: on a developer's machine, or behind a gateway that authenticates and sets it.",
)

Actor = Annotated[str, Security(acting_user)]
"""A parameter of this type makes a route need a credential, and receives the acting user's id."""
