"""Settings come from what is given and from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from fanfold.core.settings import Settings


@pytest.mark.parametrize("name", ["FANFOLD_FEED_DEPTH", "fanfold_feed_depth"])
def test_a_variable_is_read_and_what_is_given_comes_before_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Settings().feed_depth
    monkeypatch.setenv(name, str(usual + 1))
    assert Settings().feed_depth == usual + 1
    assert Settings(feed_depth=7).feed_depth == 7


def test_no_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Settings().feed_depth
    (tmp_path / ".env").write_text(f"FANFOLD_FEED_DEPTH={usual + 1}\n")
    monkeypatch.chdir(tmp_path)
    assert Settings().feed_depth == usual
