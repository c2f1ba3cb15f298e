"""Who may use the routes for operators: requests of this machine, or with a token that has the admin scope."""

from __future__ import annotations

import ipaddress

from fastapi import Request

from fanfold.core.settings import Settings
from fanfold.http.answers import host_name, is_loopback_name
from fanfold.http.identity.credentials import ADMIN
from fanfold.http.identity.identity import Identity
from fanfold.http.identity.sessions import remember_credential
from fanfold.http.problems import Forbidden, MissingScope

_ASKED_FROM = ("x-fanfold-address", "x-forwarded-for", "x-real-ip", "forwarded")
"""The headers in which proxies name the client's address: ours uses the first, others any of these.

The form of the last one never counts as loopback.
"""


class OperatorsOnly(Forbidden):
    kind = "operators-only"
    title = "Only for operators"


class Operators:
    """A guard of routes. `settings.auth` says whether a credential from elsewhere can prove an operator."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = settings.auth == "jwt"

    async def __call__(self, request: Request) -> None:
        """Answers 401 or 403 unless the request comes from this machine, by a name of it, or has a token with `fanfold:admin`.

        A web page of another site can't be read by this machine's browser: its name for this server isn't a loopback name.
        """
        if _from_this_machine(request):
            return
        if not self._tokens:
            # X-User-Id says who the user is, not what the user may do.
            raise OperatorsOnly(
                "Ask from the machine of the server, by 127.0.0.1 or localhost. With FANFOLD_AUTH=jwt a token with the scope fanfold:admin does, too."
            )
        identity: Identity = request.app.state.identity
        credential = await identity.credential(request)
        if not credential.allows(ADMIN):
            raise MissingScope(ADMIN)
        remember_credential(request.scope, credential)


def _from_this_machine(request: Request) -> bool:
    host = host_name(request.headers.get("host", ""))
    peer = request.client.host if request.client else ""
    named = (request.headers.getlist(header) for header in _ASKED_FROM)
    hops = [
        peer,
        *(hop.strip() for values in named for value in values for hop in value.split(",")),
    ]
    return is_loopback_name(host) and all(map(_is_loopback, hops))


def _is_loopback(address: str) -> bool:
    try:
        # Our gateway names the network that it counts as one client.
        return ipaddress.ip_network(address, strict=False).is_loopback
    except ValueError:
        return False
