"""The files of the page: small, typed, and each vendored one the file of a release with a licence."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from console_service.page import WEB

ROOT = Path(__file__).parents[2]
CHECK = ROOT / "scripts" / "check_page"
VENDOR = WEB / "vendor"
MOST_GZIPPED_BYTES = 30 * 1024
MOST_OWN_LINES = 1_200
LONGEST_LINE = 140
LICENCES = {"MIT": "MIT License", "Apache-2.0": "Apache License"}


def served() -> list[Path]:
    """What a browser may load; the rest are licences and types."""
    return sorted(
        path for path in WEB.rglob("*.*") if path.suffix in {".html", ".js", ".css", ".svg"}
    )


def test_the_page_is_small() -> None:
    files = served()
    assert {"index.html", "main.js", "style.css", "preact.js"} <= {path.name for path in files}
    whole = b"".join(path.read_bytes() for path in files)
    assert len(gzip.compress(whole)) < MOST_GZIPPED_BYTES
    own = "\n".join(path.read_text() for path in files if VENDOR not in path.parents)
    # Blank lines and comments, which hold the types, are no code.
    code = [line for line in own.splitlines() if not re.match(r"\s*(?:$|//|/?\*)", line)]
    assert len(code) <= MOST_OWN_LINES
    assert max(map(len, own.splitlines())) <= LONGEST_LINE


def test_every_vendored_file_has_the_hash_of_its_release_and_a_licence() -> None:
    releases = json.loads((VENDOR / "releases.json").read_text())
    listed: set[str] = set()
    for name, release in releases.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", release["version"])
        assert re.fullmatch(r"sha512-[\w+/]{86}==", release["integrity"])
        assert LICENCES[release["license"]] in (VENDOR / f"{name}.LICENSE").read_text()
        for file, digest in release["files"].items():
            actual = hashlib.sha384((VENDOR / file).read_bytes()).digest()
            assert digest == f"sha384-{base64.b64encode(actual).decode()}", file
            listed.add(file)
    assert {path.name for path in VENDOR.glob("*.js")} == listed


def test_every_import_is_a_file_of_the_page() -> None:
    found = 0
    for module in WEB.rglob("*.js"):
        for imported in re.findall(r'(?:^|\b)(?:import|from) ?"(\.[^"]+)"', module.read_text()):
            assert (module.parent / imported).is_file(), (module.name, imported)
            found += 1
    assert found > 5


@pytest.mark.slow
@pytest.mark.timeout(600)  # npm fetches the compiler once
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing: install Node.js")
def test_the_types_of_the_page_hold(tmp_path: Path) -> None:
    done = subprocess.run([CHECK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done
    broken = shutil.copytree(WEB, tmp_path / "web")
    with (broken / "session.js").open("a") as module:
        module.write('settings.post_max_chars = "many";\n')
    done = subprocess.run([CHECK, broken], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "session.js" in done.stdout
