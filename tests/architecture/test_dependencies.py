"""Everything installed is pinned by hash, the same everywhere, and from wherever the user's own index is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKED = ("runtime", "build", "test", "dev", "local", "image", "k8s")
PIN = re.compile(r"^(?P<name>[a-z0-9._-]+)(\[[a-z,_-]+\])?==(?P<version>[^ ;\\]+)", re.IGNORECASE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
# In halves, because this file is tracked too.
REGISTRIES = [
    f"{host}.{domain}"
    for host, domain in (
        ("pypi", "org"),
        ("files.pythonhosted", "org"),
        ("registry.npmjs", "org"),
        ("registry.yarnpkg", "com"),
        ("repo.maven.apache", "org"),
        ("repo1.maven", "org"),
        ("index.crates", "io"),
        ("proxy.golang", "org"),
    )
]
FOREIGN_LOCKS = {"uv.lock", "package-lock.json", "yarn.lock", "pnpm-lock.yaml", "poetry.lock"}


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def pins(name: str) -> dict[str, str]:
    """Package → version; several lines of one package carry markers and are joined."""
    found: dict[str, str] = {}
    for entry in entries(name):
        pin = PIN.match(entry)
        assert pin, f"requirements/{name}.txt: not pinned: {entry.splitlines()[0]}"
        found[pin["name"].lower()] = (
            f"{found.get(pin['name'].lower(), '')} {pin['version']}".strip()
        )
    return found


def entries(name: str) -> list[str]:
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines))


def wanted(name: str) -> set[str]:
    lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines if not line.startswith("-c"))
    return {re.sub(r"[._-]+", "-", found.group()).lower() for found in names if found}


@pytest.mark.parametrize("name", LOCKED)
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    assert pins(name)
    assert [entry for entry in entries(name) if not HASH.search(entry)] == []


@pytest.mark.parametrize("name", LOCKED)
def test_every_requirement_is_locked(name: str) -> None:
    assert wanted(name) - pins(name).keys() == set()


def test_no_package_has_two_versions_in_one_environment() -> None:
    versions: dict[str, set[str]] = {}
    for name in LOCKED:
        for package, version in pins(name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_no_tracked_file_names_a_package_registry() -> None:
    assert [
        (str(path.relative_to(ROOT)), host)
        for path in tracked_files()
        for host in REGISTRIES
        if host.encode() in path.read_bytes()
    ] == []


def test_only_the_hashed_requirements_lock_dependencies() -> None:
    assert [path.name for path in tracked_files() if path.name in FOREIGN_LOCKS] == []
