"""`make release`: what it refuses, and that two clones of a commit give the same files. Trying the wheel is left to `make release` itself."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
COMMITTED_AT = "2026-11-30T12:34:56+00:00"
SCHEMA = "post_created.v1.json"


def git(clone: Path, *arguments: str) -> None:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    subprocess.run(
        ["git", *who, *arguments],
        cwd=clone,
        check=True,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_COMMITTER_DATE": COMMITTED_AT},
    )


def release(
    clone: Path, *arguments: str, umask: int = 0o022, programs: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/release", *arguments],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
        umask=umask,
        env={"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "IMAGE_TOOL": "buildah"},
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose commit can be released: with this script, and a heading of the version."""
    clone = tmp_path_factory.mktemp("release") / "first"
    git(ROOT, "clone", "--quiet", str(ROOT), str(clone))
    for script in ("release", "build_image"):
        shutil.copy(ROOT / "scripts" / script, clone / "scripts")
    changes = clone / "CHANGELOG.md"
    top, older = "## [Unreleased]\n", "## [0.0.1] - 2025-01-01\n\n* Older.\n"
    text = changes.read_text().replace(top, f"{top}\n## [{VERSION}] - 2026-12-01\n", 1)
    changes.write_text(f"{text}\n{older}")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "A release")
    (clone / ".venv").symlink_to(ROOT / ".venv")
    return clone


def break_tree(clone: Path) -> None:
    (clone / "fanfold" / "forgotten.py").touch()


def break_heading(clone: Path) -> None:
    changes = clone / "CHANGELOG.md"
    changes.write_text(changes.read_text().replace(f"## [{VERSION}]", "## [9.9.9]"))
    git(clone, "commit", "--quiet", "--all", "--message", "Another heading")
    git(clone, "tag", f"v{VERSION}")


def break_lock(clone: Path) -> None:
    git(clone, "rm", "--quiet", "-r", f"schemas/released/{VERSION}")
    git(clone, "commit", "--quiet", "--message", "No schemas")


def break_released_schema(clone: Path) -> None:
    schema = clone / "schemas" / "released" / VERSION / SCHEMA
    schema.write_text(schema.read_text() + "\n")
    git(clone, "commit", "--quiet", "--all", "--message", "Another form of the past")


def break_schema(clone: Path) -> None:
    schema = clone / "schemas" / "events" / SCHEMA
    schema.write_text(schema.read_text() + "\n")
    git(clone, "commit", "--quiet", "--all", "--message", "Another form")


def break_tag(clone: Path) -> None:
    git(clone, "tag", f"v{VERSION}", "HEAD~1")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (break_tree, "?? fanfold/forgotten.py"),
        (break_heading, f'CHANGELOG.md has no heading "## [{VERSION}]"'),
        (break_lock, f"run `fanfold schema lock {VERSION}` and commit schemas/released"),
        (break_released_schema, "a file of schemas/released is not what was locked; restore it"),
        (break_schema, f"{SCHEMA} has changed since {VERSION} was locked; choose the next version"),
        (break_tag, f"v{VERSION} is the tag of another commit; choose the next version"),
    ],
)
def test_a_release_that_is_not_ready_is_refused_with_what_to_do(
    first: Path, broken: Callable[[Path], None], reason: str
) -> None:
    ready = release(first, "check")
    assert ready.returncode == 0, ready.stderr
    git(first, "branch", "--force", "ready")
    try:
        broken(first)
        refused = release(first, "check")
    finally:
        git(first, "reset", "--quiet", "--hard", "ready")
        git(first, "clean", "--quiet", "--force", "fanfold")
        subprocess.run(["git", "tag", "--delete", f"v{VERSION}"], cwd=first, check=False)
    assert refused.returncode == 1
    assert f"{VERSION} can't be released: " in refused.stderr
    assert reason in refused.stderr


def test_a_candidate_has_the_changes_that_no_version_has_yet(first: Path, tmp_path: Path) -> None:
    clone = tmp_path / "candidate"
    git(ROOT, "clone", "--quiet", str(first), str(clone))
    (clone / ".venv").symlink_to(ROOT / ".venv")
    changes = clone / "CHANGELOG.md"
    changes.write_text("# Changelog\n\n## [Unreleased]\n\n* New.\n\n## [0.0.1]\n\n* Older.\n")
    git(clone, "commit", "--quiet", "--all", "--message", "No heading of the version")
    assert release(clone, "check").returncode == 0
    done = release(clone, "files", "out")
    assert done.returncode == 0, done.stderr
    written = clone / "out" / f"fanfold-{VERSION}-changes.md"
    assert written.read_text() == "## [Unreleased]\n\n* New.\n\n"


def test_two_clones_of_a_commit_give_the_same_files(first: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    git(ROOT, "clone", "--quiet", str(first), str(second))
    (second / ".venv").symlink_to(ROOT / ".venv")
    # Only this clone's git ignores it: the tree is clean, and the wheel must still be without it.
    (second / ".git" / "info" / "exclude").write_text("left.py\n")
    (second / "fanfold" / "left.py").touch()
    assert release(second, "check").returncode == 0
    outputs = []
    for clone, umask in ((first, 0o022), (second, 0o077)):
        done = release(clone, "files", "dist/release", umask=umask)
        assert done.returncode == 0, done.stderr
        outputs.append({path.name: path for path in (clone / "dist" / "release").iterdir()})
    one, other = outputs
    start = f"fanfold-{VERSION}"
    wheel = f"{start}-py3-none-any.whl"
    ends = ("requirements.txt", "schemas.tar.gz", "kubernetes.tar.gz", "changes.md")
    assert set(one) == set(other) == {wheel, *(f"{start}-{end}" for end in ends)}
    different = [name for name in one if one[name].read_bytes() != other[name].read_bytes()]
    assert different == []

    changes = one[f"{start}-changes.md"].read_text()
    assert changes.startswith(f"## [{VERSION}] - 2026-12-01\n")
    assert "### Added" in changes
    assert "Older." not in changes
    with zipfile.ZipFile(one[wheel]) as packed:
        assert {"fanfold/schemas/openapi.json", "console_service/web/main.js"} <= {
            *packed.namelist()
        }
        assert {file.date_time for file in packed.infolist()} == {(2026, 11, 30, 12, 34, 56)}
    with tarfile.open(one[f"{start}-kubernetes.tar.gz"]) as packed:
        names = packed.getnames()
    assert f"{start}/deploy/k8s/overlays/prod/kustomization.yaml" in names
    assert f"{start}/scripts/k8s_rollout" in names


BUILDAH = """#!/bin/bash
# Notes what it is asked for, and answers as a buildah would that no registry answers.
echo "$*" >> "$(dirname "$0")/asked"
case $1 in
    pull) echo "no such host" >&2; exit 125 ;;
    push) echo image > "$(sed 's/docker-archive:\\([^:]*\\):.*/\\1/' <<< "$4")" ;;
esac
for argument; do
    case $argument in type=local,dest=*) echo '{}' > "${argument#*dest=}/sbom.cdx.json" ;; esac
done
"""


def test_the_image_of_a_candidate_needs_no_registry_and_that_of_a_release_does(
    first: Path, tmp_path: Path
) -> None:
    """By a stand-in for buildah. The real one builds the image in tests/image, and whole by `make release`."""
    buildah = tmp_path / "buildah"
    buildah.write_text(BUILDAH)
    buildah.chmod(0o755)
    # Laying it out takes ten seconds.
    layout = first / "deploy" / "docker" / "python_of_this_machine.py"
    layout.write_text("import pathlib, sys\npathlib.Path(sys.argv[1], 'base').mkdir()\n")
    output = tmp_path / "output"
    done = release(first, "image", str(output), programs=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "no registry has the image's base" in done.stdout
    start = f"fanfold-{VERSION}"
    assert {path.name for path in output.iterdir()} == {
        f"{start}-image.tar.gz",
        f"{start}-image.cdx.json",
    }
    asked = (tmp_path / "asked").read_text().splitlines()
    (whole,) = (line for line in asked if "--no-cache" in line)
    epoch = int(datetime.fromisoformat(COMMITTED_AT).timestamp())
    assert f"--timestamp {epoch}" in whole
    assert "PYTHON_IMAGE=localhost/python-of-this-machine" in whole

    git(first, "tag", f"v{VERSION}")
    try:
        refused = release(first, "image", str(tmp_path / "refused"), programs=str(tmp_path))
    finally:
        git(first, "tag", "--delete", f"v{VERSION}")
        git(first, "reset", "--quiet", "--hard")
    assert refused.returncode == 1
    assert "the base of its image can't be pulled" in refused.stderr
    assert "no such host" in refused.stderr
