"""`fanfold token USER`: a bearer token of the development issuer, for `make up` and for `FANFOLD_AUTH=jwt make run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fanfold.core.clock import SystemClock
from fanfold.core.errors import Fault
from fanfold.ops.installation import environment
from fanfold.ops.options import DEFAULT_DATA, Data, console, refuse_no_user_ids

_LONGEST_S = 7 * 86_400


def token(
    user_id: Annotated[str, typer.Argument(help="The acting user.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="fanfold:read, fanfold:write or fanfold:admin; repeat it. By default the first two."
        ),
    ] = None,
    lifetime: Annotated[
        int, typer.Option(help="Seconds until it expires.", min=1, max=_LONGEST_S)
    ] = 3600,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print a token that a system with FANFOLD_JWT_DEVELOPMENT_KEY accepts: that of `make up`, on this machine.

    Signs with the key of that setting, else with the one in --data, and makes the key if there is none.
    """
    from fanfold.http.identity.credentials import READ, SCOPES, WRITE
    from fanfold.http.identity.development import KEY_FILE, DevelopmentIssuer, create_key

    scopes = scope or [READ, WRITE]
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise Fault(f"unknown scope {', '.join(unknown)}: use {', '.join(SCOPES)}")
    refuse_no_user_ids(user_id)
    settings = environment()
    path: Path = settings.jwt_development_key or data / KEY_FILE
    if create_key(path):
        console.print(
            f"made the key {path}; a system that runs already does not accept it", markup=False
        )
    signed = DevelopmentIssuer(path).token(
        user_id,
        scopes=scopes,
        audience=settings.jwt_audience,
        now_s=SystemClock().now_ms() // 1000,
        lifetime_s=lifetime,
    )
    sys.stdout.write(f"{signed}\n")
