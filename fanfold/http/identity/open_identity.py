"""Chooses how requests are identified, by the settings. Wrong settings raise a `Fault` with a message of one line."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fanfold.core.clock import Clock
from fanfold.core.errors import Fault
from fanfold.core.settings import Settings
from fanfold.http.identity import development
from fanfold.http.identity.bearer import BearerIdentity
from fanfold.http.identity.development import DevelopmentIssuer
from fanfold.http.identity.https_get import https_get
from fanfold.http.identity.identity import HeaderIdentity, Identity
from fanfold.http.identity.key_set import parse_key_set
from fanfold.http.identity.remote_keys import FixedKeys, RemoteKeys
from fanfold.http.identity.tokens import TokenRules, token_types
from fanfold.http.listen import is_loopback

FETCH_WITHIN_S = 5.0
MOST_KEY_SET_BYTES = 64 * 1024


@asynccontextmanager
async def open_identity(settings: Settings, *, clock: Clock) -> AsyncIterator[Identity]:
    """The identity that the settings choose. Waits for no issuer. Raises `Fault` if the settings contradict one another."""
    check_identity(settings)
    if settings.auth == "header":
        yield HeaderIdentity()
        return
    if settings.jwt_development_key is not None:
        issuer = DevelopmentIssuer(settings.jwt_development_key)
        keys = FixedKeys(parse_key_set(issuer.key_set().encode()))
        yield BearerIdentity(keys, _rules(settings), clock=clock)
        return
    remote = remote_keys(settings, clock=clock)
    fetching = asyncio.create_task(remote.keep_fetching(), name="keep the issuer's keys")
    try:
        yield BearerIdentity(remote, _rules(settings), clock=clock)
    finally:
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)


def check_identity(settings: Settings) -> None:
    """Raise `Fault` if these settings would let anyone act as anyone, or contradict one another."""
    beyond = not is_loopback(settings.host)
    if settings.auth == "header":
        if beyond and not settings.anyone_may_claim_any_user:
            raise Fault(
                f"FANFOLD_AUTH=header trusts X-User-Id, and FANFOLD_HOST={settings.host} is reached by others: use FANFOLD_AUTH=jwt, "
                "or FANFOLD_ANYONE_MAY_CLAIM_ANY_USER=true where that is right"
            )
        return
    issuers = (settings.jwt_issuer, settings.jwt_jwks_url)
    if settings.jwt_development_key is not None:
        if issuers != (None, None):
            raise Fault(
                "FANFOLD_JWT_DEVELOPMENT_KEY excludes FANFOLD_JWT_ISSUER and FANFOLD_JWT_JWKS_URL: choose one issuer"
            )
        if beyond:
            raise Fault(
                f"FANFOLD_JWT_DEVELOPMENT_KEY is for this machine only, and FANFOLD_HOST={settings.host} is reached by others"
            )
        return
    if None in issuers:
        raise Fault(
            "FANFOLD_AUTH=jwt needs FANFOLD_JWT_ISSUER and FANFOLD_JWT_JWKS_URL, or FANFOLD_JWT_DEVELOPMENT_KEY"
        )
    for name, url in (("FANFOLD_JWT_ISSUER", issuers[0]), ("FANFOLD_JWT_JWKS_URL", issuers[1])):
        if not _is_https(url or ""):
            raise Fault(f"{name}: use an https:// URL, without a user or password")


def remote_keys(settings: Settings, *, clock: Clock) -> RemoteKeys:
    """The keys of `FANFOLD_JWT_JWKS_URL`. Raises `Fault` if the CA certificates can't be read."""
    ca, url = settings.jwt_jwks_ca, settings.jwt_jwks_url or ""
    try:
        tls = ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise Fault(f"FANFOLD_JWT_JWKS_CA: {ca} has no certificates in PEM") from error

    async def fetch() -> bytes:
        return await https_get(url, tls=tls, within_s=FETCH_WITHIN_S, most_bytes=MOST_KEY_SET_BYTES)

    return RemoteKeys(
        fetch,
        clock=clock,
        refresh_s=settings.jwt_jwks_refresh_s,
        max_age_s=settings.jwt_jwks_max_age_s,
    )


def _rules(settings: Settings) -> TokenRules:
    developing = settings.jwt_development_key is not None
    return TokenRules(
        issuer=development.ISSUER if developing else settings.jwt_issuer or "",
        audience=settings.jwt_audience,
        types=token_types("at+jwt" if developing else settings.jwt_types),
        user_ids_are_subjects=developing or settings.jwt_user_id == "subject",
        max_lifetime_s=settings.jwt_max_lifetime_s,
        max_bytes=settings.jwt_max_bytes,
    )


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
