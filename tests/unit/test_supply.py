"""What Fanfold is made of: hashes, wheels, licences and versions; and no secret in the repository."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

from tests.support.advisories import (
    CLEAN,
    NOT_AUDITED,
    VULNERABLE,
    locked,
    read_ignored,
    verdict,
)

ROOT = Path(__file__).parents[2]

ALLOWED_LICENCES = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    # In the words of classifiers and of older metadata.
    "3-Clause BSD License",
    "Apache Software License",
    "BSD License",
    "BSD-derived (http://www.repoze.org/LICENSE.txt)",
    "DFSG approved",
    "ISC License (ISCL)",
    "MIT License",
    "Mozilla Public License 2.0 (MPL 2.0)",
    "Python Software Foundation License",
    "Repoze Public License",
}

SECRETS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "a cloud key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a token of a forge": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|glpat-[\w-]{20}|github_pat_\w{22,})"),
    "a token of a registry": re.compile(r"\b(?:npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,}|dckr_pat_[\w-]{20,})"),
    "a token of a chat": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
    "a signed token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    "credentials in a URL": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"'`<>{}$]+:[^\s/:@\"'`<>{}$]+@[\w-]+\.\w"),
}  # fmt: skip


def packages() -> dict[str, set[str]]:
    """The locked versions of each package that is meant to be in the environment of the tests: some depend on the Python."""
    versions: dict[str, set[str]] = {}
    for path in locked():
        if path.name not in {"audit.txt", "image.txt", "k8s.txt"}:
            pinned = re.findall(r"^([\w.-]+)==([^ ;]+)", path.read_text(), re.MULTILINE)
            for name, version in pinned:
                versions.setdefault(name, set()).add(version)
    return versions


def licences(package: Distribution) -> list[str]:
    """An SPDX expression, else the classifiers, else the first line of `License`."""
    metadata = package.metadata
    if expression := metadata["License-Expression"]:
        return re.split(r" (?:AND|OR|WITH) ", expression.replace("(", "").replace(")", ""))
    classified = [
        classifier.rpartition(" :: ")[2]
        for classifier in metadata.get_all("Classifier", [])
        if classifier.startswith("License :: ") and not classifier.endswith(":: OSI Approved")
    ]
    return classified or (metadata["License"] or "none").splitlines()[:1]


def test_every_licence_is_one_that_we_allow() -> None:
    others, seen = {}, 0
    for name, versions in packages().items():
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue  # for another system or another Python
        seen += 1
        assert installed.version in versions, f"{name}: the environment is not the locked one"
        if not set(found := licences(installed)) <= ALLOWED_LICENCES:
            others[name] = found
    assert seen > 80
    assert others == {}


def test_a_licence_that_is_not_allowed_is_seen() -> None:
    assert "GPL-3.0-only" not in ALLOWED_LICENCES
    assert licences(distribution("orjson")) == ["MPL-2.0", "Apache-2.0", "MIT"]


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return [path for name in listed if name and (path := ROOT / name).is_file()]


def secrets_in(text: str) -> list[str]:
    return [name for name, pattern in SECRETS.items() if pattern.search(text)]


@pytest.mark.slow
def test_no_file_of_the_repository_holds_a_secret() -> None:
    files = tracked()
    assert len(files) > 300
    found = {
        str(path.relative_to(ROOT)): names
        for path in files
        if (names := secrets_in(path.read_text(errors="replace")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("-----BEGIN EC " + "PRIVATE KEY-----\n" + "A" * 64, "a private key"),
        ("key = " + "AKIA" + "Q" * 16, "a cloud key"),
        ("ghp" + "_" + "a" * 36, "a token of a forge"),
        ("postgres://ann:" + "hunter2@db.example", "credentials in a URL"),
        ("eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 30, "a signed token"),
    ],
)
def test_a_secret_is_seen(text: str, name: str) -> None:
    assert secrets_in(text) == [name]


def test_every_locked_package_has_a_hash_and_is_installed_as_a_wheel() -> None:
    for path in locked():
        requirements = re.split(r"\n(?=\S)", path.read_text())
        assert all("--hash=sha256:" in one for one in requirements if "==" in one), path.name
    installing = {
        "Makefile": (ROOT / "Makefile").read_text(),
        **{path.name: path.read_text() for path in (ROOT / "scripts").iterdir()},
    }
    commands = [
        (name, " ".join(line.split()))
        for name, text in installing.items()
        for line in text.replace("\\\n", " ").splitlines()
        if re.search(r"\bpip\"? install\b", line) and not line.lstrip().startswith("#")
    ]
    assert len(commands) == 6
    for name, command in commands:
        # Ours is built from this directory.
        assert "--only-binary :all:" in command or "--no-deps" in command, (name, command)


def test_every_tool_of_go_has_a_version() -> None:
    script = (ROOT / "scripts" / "fetch_k8s").read_text()
    versions = dict(
        re.findall(r"^(\w+)=(\S+)$", (ROOT / "deploy/k8s/versions.env").read_text(), re.MULTILINE)
    )
    fetched = re.findall(r'go install "[^"@]+@v\$(\w+)"|\$\(module [^ ]+ \$(\w+)\)', script)
    names = {name for pair in fetched for name in pair if name}
    assert "KUSTOMIZE" in names
    assert names <= versions.keys()
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", versions[name]) for name in names), versions
    assert "@latest" not in script


def test_packages_not_compared_with_advisories_do_not_pass() -> None:
    clean = {"name": "a", "version": "1", "vulns": []}
    unknown = {"name": "b", "skip_reason": "not found"}
    bad = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"]}]}
    assert verdict([clean], ignored=()).status == CLEAN
    assert verdict([clean, unknown], ignored=()).status == NOT_AUDITED
    assert verdict([], ignored=()).status == NOT_AUDITED
    assert verdict([unknown, bad], ignored=()) == (VULNERABLE, "VULNERABLE: c 2: PYSEC-1")
    assert verdict([clean, bad], ignored={"CVE-1"}).status == CLEAN
    assert "NOT AUDITED" in verdict([unknown], ignored=()).line


def test_an_ignored_advisory_has_a_reason(tmp_path: Path) -> None:
    read_ignored()
    ignored = tmp_path / "ignored.txt"
    ignored.write_text("# a comment\nCVE-1 only on Windows\n")
    assert read_ignored(ignored) == {"CVE-1"}
    ignored.write_text("CVE-2\n")
    with pytest.raises(ValueError, match="reason after CVE-2"):
        read_ignored(ignored)
