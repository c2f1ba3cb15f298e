"""The commands that the page shows. A link to the page chooses the ids in them, and a reader runs the copied command in a shell."""

from __future__ import annotations

import json
import subprocess

import pytest

from console_service.page import WEB

HOSTILE = (
    "'; touch pwned; '",
    "$(touch pwned)",
    "`touch pwned`",
    "a\nb",
    "a\x1b[201~b",
    '" x',
    "\\",
)
SHOWN = """
globalThis.sessionStorage = { getItem: () => null, setItem: () => {} };
globalThis.location = { origin: "http://localhost:8080" };
const { curl, settings, tokenCommand } = await import(process.argv[1] + "/session.js");
settings.auth = process.argv[3];
const shown = JSON.parse(process.argv[2]).map(id => [
  curl(id, "GET", `/posts/${encodeURIComponent(id)}/fanout`), curl(id, "POST", "/posts", { content: id }), tokenCommand(id),
]);
console.log(JSON.stringify(shown));
"""
# Prints the words that a command would get.
SHELL = """
curl() { printf '%s\\n' "$@"; }
fanfold() { shift; printf 'token of %s' "$1"; }
"""


def commands(auth: str, *ids: str) -> list[list[str]]:
    """The commands of each id, as the page shows them."""
    arguments = ("--input-type=module", "--eval", SHOWN, str(WEB), json.dumps(ids), auth)
    shown = subprocess.run(["node", *arguments], capture_output=True, text=True, check=True)
    found: list[list[str]] = json.loads(shown.stdout)
    return found


def words(command: str) -> list[str]:
    script = SHELL + command.replace(".venv/bin/fanfold", "fanfold")
    ran = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("auth", ["header", "jwt"])
def test_a_copied_command_is_one_request_whatever_the_link_says(auth: str) -> None:
    for hostile, (read, write, token) in zip(HOSTILE, commands(auth, *HOSTILE), strict=True):
        kept = "".join(letter for letter in hostile if letter.isprintable())
        named = (
            f"X-User-Id: {kept}" if auth == "header" else f"Authorization: Bearer token of {kept}"
        )
        assert words(read)[:3] == ["-s", "-H", named]
        assert len(words(read)) == 4
        assert json.loads(words(write)[6]) == {"content": hostile}
        assert words(token) == [f"token of {kept}"]
        assert "\n" not in read + write + token
        assert "\x1b" not in read + write + token


def test_a_command_of_usual_ids_has_no_more_quotes_than_it_needs() -> None:
    ((read, _, token),) = commands("header", "alice")
    assert read == "curl -s -H 'X-User-Id: alice' http://localhost:8080/posts/alice/fanout"
    assert token == ".venv/bin/fanfold token alice"
