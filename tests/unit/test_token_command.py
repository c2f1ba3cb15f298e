"""`fanfold token`: its tokens are accepted where a system was told so, and nowhere else."""

from __future__ import annotations

import stat
import sys
import threading
from pathlib import Path

import pytest

from fanfold.core.clock import SystemClock
from fanfold.core.exit_codes import ExitCode
from fanfold.core.settings import Settings
from fanfold.http.identity.bearer import BearerIdentity
from fanfold.http.identity.development import ISSUER, DevelopmentIssuer, create_key
from fanfold.http.identity.key_set import parse_key_set
from fanfold.http.identity.open_identity import open_identity
from fanfold.http.identity.remote_keys import FixedKeys
from fanfold.http.identity.tokens import InvalidToken
from fanfold.ops.command_line import main
from tests.support.tokens import RULES
from tests.unit.test_tokens import asking


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
    monkeypatch.setattr(sys, "argv", ["fanfold", "token", *arguments])
    main()
    return capsys.readouterr().out


async def test_a_token_is_accepted_by_a_system_with_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(tmp_path / "system")
    token = printed(monkeypatch, capsys, "alice", "--data", data).strip()
    key = tmp_path / "system" / "development-issuer.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    settings = Settings().model_copy(update={"auth": "jwt", "jwt_development_key": key})
    async with open_identity(settings, clock=SystemClock()) as identity:
        credential = await identity.credential(asking(f"Bearer {token}"))
        assert credential.user_id == "alice"
        assert credential.scopes == {"fanfold:read", "fanfold:write"}
        narrow = printed(
            monkeypatch,
            capsys,
            "bob",
            "--scope",
            "fanfold:read",
            "--lifetime",
            "60",
            "--data",
            data,
        )
        credential = await identity.credential(asking(f"Bearer {narrow.strip()}"))
        assert credential.user_id == "bob"
        assert credential.scopes == {"fanfold:read"}
        assert credential.expires_s == credential.issued_s + 60


async def test_no_other_mode_accepts_it_even_with_its_key(tmp_path: Path) -> None:
    """An issuer that publishes the development key by mistake: the token's `iss` is no https:// URL."""
    create_key(tmp_path / "key.pem")
    issuer = DevelopmentIssuer(tmp_path / "key.pem")
    now_s = SystemClock().now_ms() // 1000
    token = issuer.token("alice", scopes=(), audience="fanfold", now_s=now_s, lifetime_s=60)
    keys = FixedKeys(parse_key_set(issuer.key_set().encode()))
    identity = BearerIdentity(keys, RULES, clock=SystemClock())
    with pytest.raises(InvalidToken, match="of the issuer"):
        await identity.credential(asking(f"Bearer {token}"))
    assert not ISSUER.startswith("https://")


def test_a_key_is_written_once(tmp_path: Path) -> None:
    path, made = tmp_path / "a" / "key.pem", []
    starts = [threading.Thread(target=lambda: made.append(create_key(path))) for _ in range(4)]
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    assert sorted(made) == [False, False, False, True]
    assert [found.name for found in path.parent.iterdir()] == ["key.pem"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("alice", "--scope", "admin"), "unknown scope admin: use fanfold:read"),
        (("auth0|x",), "use 1-64 of"),
    ],
)
def test_what_no_token_can_say_is_refused_in_one_line(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["fanfold", "token", *arguments, "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.FAILED
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
