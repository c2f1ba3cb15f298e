"""No setting lets strangers act as anyone by accident, and contradictions stop the start in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fanfold.core.errors import Fault
from fanfold.core.read_settings import read_settings
from fanfold.core.settings import Settings
from fanfold.http.identity.development import ISSUER, create_key
from fanfold.http.identity.open_identity import check_identity, open_identity
from fanfold.http.listen import is_loopback
from tests.support.clock import ManualClock
from tests.unit.test_start_messages import SERVICE, Started, started

__all__ = ["started"]

JWT = {
    "auth": "jwt",
    "jwt_issuer": "https://issuer.example/",
    "jwt_jwks_url": "https://issuer.example/keys",
}
BEYOND = ("0.0.0.0", "::", "10.1.2.3")


def settings(**given: Any) -> Settings:
    return Settings().model_copy(update=given)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_header_is_trusted_on_loopback(host: str) -> None:
    assert is_loopback(host)
    check_identity(settings(auth="header", host=host))


@pytest.mark.parametrize("host", BEYOND)
def test_the_header_is_not_trusted_beyond_loopback_unless_that_is_meant(host: str) -> None:
    with pytest.raises(Fault, match="FANFOLD_ANYONE_MAY_CLAIM_ANY_USER=true"):
        check_identity(settings(auth="header", host=host))
    check_identity(settings(auth="header", host=host, anyone_may_claim_any_user=True))
    check_identity(settings(**JWT, host=host))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"jwt_issuer": None}, "needs FANFOLD_JWT_ISSUER and FANFOLD_JWT_JWKS_URL"),
        ({"jwt_jwks_url": None}, "needs FANFOLD_JWT_ISSUER and FANFOLD_JWT_JWKS_URL"),
        ({"jwt_issuer": "http://issuer.example/"}, "FANFOLD_JWT_ISSUER: use an https"),
        ({"jwt_issuer": ISSUER}, "FANFOLD_JWT_ISSUER: use an https"),
        ({"jwt_jwks_url": "http://issuer.example/keys"}, "FANFOLD_JWT_JWKS_URL: use an https"),
        ({"jwt_jwks_url": f"https://{'a:b'}@issuer.example/keys"}, "without a user or password"),
        ({"jwt_jwks_url": "https://[::1"}, "use an https"),
        ({"jwt_jwks_url": "file:///etc/passwd"}, "use an https"),
        ({"jwt_development_key": Path("key.pem")}, "choose one issuer"),
    ],
    ids=str,
)
def test_settings_that_contradict_one_another_are_refused(
    changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(Fault, match=said) as refused:
        check_identity(settings(**{**JWT, **changed}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", BEYOND)
def test_the_development_issuer_is_for_this_machine_only(host: str, tmp_path: Path) -> None:
    developing = {"auth": "jwt", "jwt_development_key": tmp_path / "key.pem"}
    check_identity(settings(**developing))
    for given in ({}, {"anyone_may_claim_any_user": True}):
        with pytest.raises(Fault, match="this machine only"):
            check_identity(settings(**developing, **given, host=host))


def test_a_service_refuses_to_start_before_it_waits_for_an_engine(started: Started) -> None:
    status, said = started(SERVICE, "FANFOLD_HOST=0.0.0.0", "FANFOLD_PORT=0")
    assert status == 1
    assert "FANFOLD_ANYONE_MAY_CLAIM_ANY_USER" in said


async def test_a_key_that_others_may_read_signs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    given = settings(auth="jwt", jwt_development_key=path)
    with pytest.raises(Fault, match="fanfold token"):
        async with open_identity(given, clock=ManualClock()):
            pass
    assert create_key(path)
    async with open_identity(given, clock=ManualClock()) as identity:
        await identity.ready()
    path.chmod(0o640)
    with pytest.raises(Fault, match="others may read"):
        async with open_identity(given, clock=ManualClock()):
            pass
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(Fault, match="no private key"):
        async with open_identity(given, clock=ManualClock()):
            pass


@pytest.mark.parametrize(
    ("auth", "origins", "said"),
    [
        ("header", "*", "FANFOLD_CORS_ORIGINS: * needs FANFOLD_AUTH=jwt"),
        ("header", "https://a.example, *", "needs FANFOLD_AUTH=jwt"),
        ("jwt", "a.example", "use https://host"),
        ("jwt", "https://a.example/", "use https://host"),
        ("jwt", "https://*.example", "use https://host"),
        ("jwt", "null", "use https://host"),
    ],
)
def test_every_origin_is_allowed_only_with_tokens(
    auth: str, origins: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANFOLD_AUTH", auth)
    monkeypatch.setenv("FANFOLD_CORS_ORIGINS", origins)
    with pytest.raises(Fault, match=re.escape(said)):
        read_settings()
    monkeypatch.setenv("FANFOLD_AUTH", "jwt")
    monkeypatch.setenv("FANFOLD_CORS_ORIGINS", "*")
    assert read_settings().allowed_origins == ("*",)
    monkeypatch.setenv("FANFOLD_CORS_ORIGINS", "https://a.example, http://localhost:3000")
    assert read_settings().allowed_origins == ("https://a.example", "http://localhost:3000")
    monkeypatch.delenv("FANFOLD_CORS_ORIGINS")
    assert read_settings().allowed_origins == ()
