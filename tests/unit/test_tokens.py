"""What a token must be: each rule broken alone is refused, and the user of a token is nobody else's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from fanfold.http.identity.bearer import BearerIdentity
from fanfold.http.identity.credentials import Credential
from fanfold.http.identity.key_set import UnusableKeySet, parse_key_set
from fanfold.http.identity.remote_keys import FixedKeys
from fanfold.http.identity.tokens import InvalidToken, TokenRules, token_types
from fanfold.http.identity.user_ids import derived_user_id, subject_user_id
from fanfold.http.problems import Unauthenticated
from tests.support.clock import START_MS, ManualClock
from tests.support.tokens import (
    ALGORITHMS,
    RULES,
    a_token,
    an_identity,
    claims,
    encoded,
    key_set,
    private_key,
    public_jwk,
    signed,
)

NOW_S = START_MS // 1000


def asking(*authorization: str) -> HTTPConnection:
    headers = [(b"authorization", value.encode("latin-1")) for value in authorization]
    return HTTPConnection({"type": "http", "headers": headers})


async def credential_of(token: str, rules: TokenRules = RULES) -> Credential:
    return await an_identity(ManualClock(), rules).credential(asking(f"Bearer {token}"))


async def refusal_of(token: str, rules: TokenRules = RULES) -> str:
    with pytest.raises(InvalidToken) as refused:
        await credential_of(token, rules)
    challenge = refused.value.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="fanfold", error="invalid_token"')
    return refused.value.detail


def part(document: Any) -> str:
    return encoded(document if isinstance(document, bytes) else json.dumps(document).encode())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_of_each_algorithm_names_its_user(algorithm: str) -> None:
    payload = claims("alice", now_s=NOW_S, jti="one", aud=["other", "fanfold"])
    credential = await credential_of(signed(payload, algorithm=algorithm))
    assert (credential.user_id, credential.token_id) == ("alice", "one")
    assert credential.scopes == {"fanfold:read", "fanfold:write"}
    assert (credential.issued_s, credential.expires_s) == (NOW_S, NOW_S + 600)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exp": NOW_S}, "expired"),
        ({"exp": NOW_S + 3601}, "lives at most 3600 s"),
        ({"iat": NOW_S + 6}, "valid already"),
        ({"nbf": NOW_S + 6}, "valid already"),
        ({"iss": "https://other.example/"}, "of the issuer"),
        ({"iss": ["https://issuer.example/"]}, "of the issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": "fanfold2"}, "audience"),
        ({"sub": ""}, "sub"),
        ({"sub": "x" * 256}, "sub"),
        ({"sub": 7}, "signature"),
        ({"sub": "auth0|x"}, "sub"),
        ({"exp": True}, "numbers"),
        ({"exp": str(NOW_S + 60)}, "numbers"),
        ({"exp": float("inf")}, "times"),
        ({"exp": 10**400}, "times"),
        ({"iat": float("nan")}, "times"),
        ({"scope": ["fanfold:read"]}, "scope"),
        ({"scope": " ".join(["a"] * 101)}, "scope"),
        ({"jti": 5}, "signature"),
        ({"jti": ""}, "jti"),
        *(
            ({name: None}, "iss, sub, aud, exp and iat")
            for name in ("iss", "sub", "aud", "exp", "iat")
        ),
    ],
    ids=str,
)
async def test_a_token_with_one_wrong_claim_is_refused(changed: dict[str, Any], said: str) -> None:
    assert said in await refusal_of(a_token(now_s=NOW_S, **changed))


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"typ": None}, "typ"),
        ({"typ": "JWT"}, "typ"),
        ({"typ": "dpop+jwt"}, "typ"),
        ({"kid": None}, "names its key"),
        ({"kid": ""}, "names its key"),
        ({"kid": "k" * 201}, "names its key"),
        ({"kid": "unknown"}, "key of the issuer"),
        ({"kid": "../../etc/passwd"}, "key of the issuer"),
        ({"crit": ["exp"]}, "plain header"),
        ({"crit": ["b64"], "b64": True}, "crit"),
        ({"b64": False}, "no crit, b64"),
        ({"jku": "https://issuer.example/keys"}, "jku"),
        # The key is another one in each process, and a test's name is not.
        pytest.param({"jwk": public_jwk("ES256")}, "jwk", id="jwk"),
        ({"x5u": "https://issuer.example/cert"}, "x5u"),
        ({"x5c": ["AAAA"]}, "x5c"),
    ],
    ids=str,
)
async def test_a_token_whose_header_asks_for_anything_unusual_is_refused(
    headers: dict[str, Any], said: str
) -> None:
    assert said in await refusal_of(signed(claims(now_s=NOW_S), headers=headers))


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_a_type_is_compared_as_media_types_are(kind: str) -> None:
    token = signed(claims(now_s=NOW_S), headers={"typ": kind})
    assert (await credential_of(token)).user_id == "alice"


async def test_types_can_be_added() -> None:
    rules = replace(RULES, types=token_types("at+jwt, JWT"))
    token = signed(claims(now_s=NOW_S), headers={"typ": "JWT"})
    assert (await credential_of(token, rules)).user_id == "alice"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_signature_of_another_key_is_refused(algorithm: str) -> None:
    token = signed(
        claims(now_s=NOW_S), algorithm=algorithm, key=private_key(algorithm, "another one")
    )
    assert "signature" in await refusal_of(token)


async def test_an_unsigned_token_is_refused() -> None:
    for name in ("none", "None", "NONE", ""):
        head = part({"alg": name, "typ": "at+jwt", "kid": "ES256"})
        payload = part(claims(now_s=NOW_S))
        for signature in ("", "AAAA"):
            assert await refusal_of(f"{head}.{payload}.{signature}")


async def test_the_public_key_is_no_secret_of_an_hmac() -> None:
    public = private_key("RS256").public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(public_jwk("RS256")).encode(),
    ):
        head = part({"alg": "HS256", "typ": "at+jwt", "kid": "RS256"})
        text = f"{head}.{part(claims(now_s=NOW_S))}"
        code = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        assert "RS256, ES256 or EdDSA" in await refusal_of(f"{text}.{part(code)}")


@pytest.mark.parametrize("named", ALGORITHMS)
@pytest.mark.parametrize("signing", ALGORITHMS)
async def test_a_key_is_for_its_own_algorithm_only(signing: str, named: str) -> None:
    token = signed(claims(now_s=NOW_S), algorithm=signing, headers={"kid": named})
    if signing == named:
        assert (await credential_of(token)).user_id == "alice"
    else:
        assert "signature" in await refusal_of(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        "....",
        "a.b.c",
        "é.b.c",
        f"{part(b'[]')}.{part({})}.AAAA",
        f"{part(b'[' * 3000)}.{part({})}.AAAA",
        f"{part({'alg': ['ES256']})}.{part({})}.AAAA",
    ],
)
async def test_a_text_that_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        await credential_of(token)


async def test_one_token_is_written_in_one_way_only() -> None:
    token = a_token(now_s=NOW_S)
    head, payload, signature = token.split(".")
    # Python's decoder would skip what is not base64url, if the length stays right; the library refuses it.
    skipped = f"{head}.{payload}.{signature[:9]}!!!!{signature[9:]}"
    for other in (f"{token}=", f"{token} x", skipped):
        assert await refusal_of(other)


async def test_a_token_is_bounded_before_it_is_read() -> None:
    token = a_token(now_s=NOW_S, more="x" * 4000)
    assert "at most 4096 bytes" in await refusal_of(token)


async def test_exactly_one_authorization_header_is_read() -> None:
    identity, token = an_identity(ManualClock()), a_token(now_s=NOW_S)
    for values in ((), (f"Bearer {token}",) * 2, (f"Basic {token}",), (token,), ("Bearer",)):
        with pytest.raises(Unauthenticated):
            await identity.credential(asking(*values))
    assert (await identity.credential(asking(f"bEaReR {token}"))).user_id == "alice"


async def test_a_remembered_token_ends_when_it_expires() -> None:
    clock = ManualClock()
    identity, request = an_identity(clock), asking(f"Bearer {a_token(now_s=NOW_S)}")
    assert (await identity.credential(request)).user_id == "alice"
    clock.advance(599)
    assert (await identity.credential(request)).user_id == "alice"
    clock.advance(1)
    with pytest.raises(InvalidToken, match="expired"):
        await identity.credential(request)


async def test_a_remembered_token_ends_when_the_keys_change() -> None:
    keys = FixedKeys(parse_key_set(key_set()))
    identity = BearerIdentity(keys, RULES, clock=ManualClock())
    request = asking(f"Bearer {a_token(now_s=NOW_S)}")
    assert (await identity.credential(request)).user_id == "alice"
    keys._keys = parse_key_set(key_set(public_jwk("ES256", "another one")))
    assert (await identity.credential(request)).user_id == "alice"
    keys.generation += 1
    with pytest.raises(InvalidToken, match="signature"):
        await identity.credential(request)


async def test_the_claims_and_the_signature_are_decoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library checks every character of them, which costs more than an RSA signature."""
    token = a_token(now_s=NOW_S)
    read: list[str] = []
    header_of = jwt.get_unverified_header

    def spied(text: str) -> dict[str, Any]:
        read.append(text)
        return header_of(text)

    monkeypatch.setattr(jwt, "get_unverified_header", spied)
    await credential_of(token)
    assert read == [f"{token.partition('.')[0]}.."]


@pytest.mark.parametrize("end", [".!!!!.AAAA", "..AAAA", ".e30.!!!!", ".e30.", ".e30.AAAA"])
async def test_a_right_header_makes_no_token_of_what_follows_it(end: str) -> None:
    head = a_token(now_s=NOW_S).partition(".")[0]
    assert "signature" in await refusal_of(f"{head}{end}")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_request_with_a_known_token_costs_at_most_a_tenth_of_a_millisecond(
    algorithm: str,
) -> None:
    identity = an_identity(ManualClock())
    request = asking(f"Bearer {signed(claims(now_s=NOW_S), algorithm=algorithm)}")
    times = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(1000):
            await identity.credential(request)
        times.append((time.process_time() - began) / 1000)
    assert min(times) < 0.0001, times


# The keys of a set


@pytest.mark.parametrize(
    "fields",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "ES384"},
        {"alg": "HS256"},
        {"kid": ""},
        {"kid": 5},
        {"kid": "k" * 201},
        {"crv": "P-384"},
        {"kty": "oct", "k": "AAAA"},
        {"d": "AAAA"},
        {"x": "AAAA"},
        {"x": 5},
    ],
    ids=str,
)
def test_a_key_that_is_not_for_verifying_is_left_out(fields: dict[str, Any]) -> None:
    found = parse_key_set(key_set(public_jwk("ES256", **fields), public_jwk("EdDSA")))
    assert set(found) == {"EdDSA"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_that_is_published_with_its_private_part_is_left_out(algorithm: str) -> None:
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(private_key(algorithm), as_dict=True)
    leaked = {**made, "kid": "leaked", "use": "sig"}
    leaked.pop("key_ops", None)
    assert set(parse_key_set(key_set(leaked, public_jwk("ES256")))) == {"ES256"}


def test_a_short_rsa_key_is_left_out() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    described = public_jwk("RS256")
    numbers = short.public_key().public_numbers()
    described["n"] = part(numbers.n.to_bytes(128, "big"))
    assert set(parse_key_set(key_set(described, public_jwk("EdDSA")))) == {"EdDSA"}


def test_of_two_keys_with_one_name_none_is_used() -> None:
    twice = [public_jwk("ES256"), public_jwk("ES256", "another one")]
    assert set(parse_key_set(key_set(*twice, public_jwk("EdDSA")))) == {"EdDSA"}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": 5}',
        b'{"keys": [5]}',
        b'{"keys": []}',
        b"[" * 100_000,
        b"\xff",
        json.dumps({"keys": [public_jwk("ES256", kid=str(n)) for n in range(101)]}).encode(),
    ],
    ids=lambda document: str(document[:12]),
)
def test_a_document_without_a_usable_key_is_no_key_set(document: bytes) -> None:
    with pytest.raises(UnusableKeySet):
        parse_key_set(document)


# The user of a subject


def test_a_derived_id_is_the_stated_one() -> None:
    """Written out here without the product's code: clients may compute it."""
    named = b"https://issuer.example/"
    digest = hashlib.sha256(len(named).to_bytes(4, "big") + named + b"auth0|x").digest()
    expected = "u-" + base64.b32encode(digest).decode().rstrip("=").lower()
    assert derived_user_id("https://issuer.example/", "auth0|x") == expected
    assert len(expected) == 54


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), unique=True, max_size=8))
def test_no_two_subjects_share_a_user(pairs: list[tuple[str, str]]) -> None:
    encodable = [pair for pair in pairs if "".join(pair).isprintable()]
    assert len({derived_user_id(*pair) for pair in encodable}) == len(encodable)


def test_an_issuer_and_a_subject_are_kept_apart() -> None:
    assert derived_user_id("a", "bc") != derived_user_id("ab", "c")


async def test_any_subject_has_a_derived_user() -> None:
    rules = replace(RULES, user_ids_are_subjects=False)
    for subject in ("auth0|x", "alice", "ü 1", "x" * 255, "."):
        found = await credential_of(a_token(subject, now_s=NOW_S), rules)
        assert found.user_id == derived_user_id(RULES.issuer, subject)
        assert subject_user_id(found.user_id) is None
    assert "text" in await refusal_of(a_token("\ud800", now_s=NOW_S), rules)


@pytest.mark.parametrize("subject", ["..", ".", "a b", "a/b", "x" * 65, "ü", ""])
def test_a_subject_that_is_no_user_id_is_nobody(subject: str) -> None:
    assert subject_user_id(subject) is None
