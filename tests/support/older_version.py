"""The version before this one, as its own sources make it: the newest tag before it, or, while nothing has been released, an earlier commit of this repository."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.image import VERSION, Image, build_of
from tests.support.k8s_schemas import ROOT

OLDER = "0.0.1"
"""What it is called here: an image of its own beside that of this version."""
_BEFORE_THE_FIRST_RELEASE = "20e77a9"


@dataclass(frozen=True)
class OlderVersion:
    """A checkout of it, and its image."""

    sources: Path
    image: Image

    def overlay(self, ours: Path) -> Path:
        """That overlay of this version, on the manifests of the older one."""
        theirs = self.sources / ours.relative_to(ROOT)
        shutil.rmtree(theirs, ignore_errors=True)
        shutil.copytree(ours, theirs)
        return theirs


def built_older_version(directory: Path) -> OlderVersion:
    """In that directory, which must not be there. Needs the network that pip needs."""
    directory.mkdir()
    packed = directory.with_suffix(".tar")
    tag = _git("describe", "--tags", "--abbrev=0", "HEAD^", check=False).decode().strip()
    packed.write_bytes(_git("archive", tag or _BEFORE_THE_FIRST_RELEASE))
    subprocess.run(["tar", "-xf", packed, "-C", directory], check=True)
    # As a release names itself.
    for named in ("pyproject.toml", "deploy/k8s/components/release/kustomization.yaml"):
        path = directory / named
        path.write_text(path.read_text().replace(VERSION, OLDER))
    (directory / ".venv").symlink_to(ROOT / ".venv")
    return OlderVersion(directory, build_of(directory, OLDER))


def _git(*words: str, check: bool = True) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, check=check, capture_output=True).stdout
