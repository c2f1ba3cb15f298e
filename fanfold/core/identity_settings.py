"""Settings that decide how a request names its acting user; `fanfold.http.identity.open_identity` checks them together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from fanfold.core.environment_settings import EnvironmentSettings

ANY_ORIGIN = "*"
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class IdentitySettings(EnvironmentSettings):
    """A part of `Settings`. Only processes with routes for users check these: the worker and the commands need none of them."""

    auth: Literal["header", "jwt"] = Field(
        "header",
        description="How a request names its acting user. `header`: by `X-User-Id`, which is trusted, so the process listens on loopback only. "
        "`jwt`: by a bearer token, which each process verifies; `X-User-Id` is ignored.",
    )
    anyone_may_claim_any_user: bool = Field(
        False,
        description="Allow `FANFOLD_AUTH=header` to listen beyond loopback. Anyone who reaches the process can then act as any user.",
    )
    jwt_issuer: str | None = Field(
        None, description="The `iss` of tokens: an `https://` URL. Tokens of others are refused."
    )
    jwt_audience: str = Field(
        "fanfold", min_length=1, description="The `aud` that a token must name."
    )
    jwt_jwks_url: str | None = Field(
        None, description="Where the issuer publishes its keys: an `https://` URL of a JWK set."
    )
    jwt_jwks_ca: Path | None = Field(
        None,
        description="Trusted CA certificates (PEM) for that URL; without it, those of the system.",
    )
    jwt_jwks_refresh_s: float = Field(
        300, ge=30, description="How often the issuer's keys are fetched again."
    )
    jwt_jwks_max_age_s: float = Field(
        86_400,
        gt=0,
        description="Keys that could not be fetched again for this long are no longer used: requests are then answered 503.",
    )
    jwt_types: str = Field(
        "at+jwt",
        min_length=1,
        description="Accepted `typ` of tokens, comma-separated. Add `JWT` only if the issuer's access tokens have it: identity tokens have it too.",
    )
    jwt_user_id: Literal["derived", "subject"] = Field(
        "derived",
        description="How a token's `sub` becomes a user id. `derived`: `u-` and a SHA-256 of issuer and `sub`, so any `sub` will do and two issuers never "
        "share a user. `subject`: the `sub` itself, which must be a user id; for an issuer that is the only one for ever.",
    )
    jwt_max_lifetime_s: PositiveInt = Field(
        3600, le=7 * 86_400, description="Tokens that live longer than this are refused."
    )
    jwt_max_bytes: PositiveInt = Field(
        4096, le=16_384, description="Longer tokens are refused, unread."
    )
    cors_origins: str = Field(
        "",
        description="Origins whose pages may call the API of `make up`, as `https://a.example,https://b.example`; `*` for all, only with `FANFOLD_AUTH=jwt`. "
        "None by default.",
    )
    jwt_development_key: Path | None = Field(
        None,
        description="Accept the tokens of `fanfold token`, signed with this key (a file of mode 0600), instead of an issuer's. On loopback only.",
    )

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins of `cors_origins`."""
        return tuple(origin.strip() for origin in self.cors_origins.split(",") if origin.strip())

    @model_validator(mode="after")
    def _origins_are_origins(self) -> Self:
        for origin in self.allowed_origins:
            if origin == ANY_ORIGIN and self.auth == "header":
                # Any page that a developer visits could then act as any user.
                raise ValueError("FANFOLD_CORS_ORIGINS: * needs FANFOLD_AUTH=jwt; name the origins")
            if origin != ANY_ORIGIN and _ORIGIN.fullmatch(origin) is None:
                raise ValueError("FANFOLD_CORS_ORIGINS: use https://host,https://host:port")
        return self
