"""Images of others: each has a version and a digest, and a script writes the digests of newer ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.k8s import rendered, workloads
from tests.support.k8s_schemas import ROOT

FILES = (
    "deploy/compose.yaml",
    "deploy/k8s/components/valkey/valkey.yaml",
    "deploy/docker/Dockerfile",
)
PINNED = re.compile(r"[^@\s]+:v?\d+\.\d+[^@\s]*@sha256:[0-9a-f]{64}")
OURS = re.compile(r"(\S+/)?fanfold/fanfold\b|localhost/|scratch$|\$\{PYTHON_IMAGE\}$")
"""Built here, or no image at all."""
NAMED = re.compile(
    r"^\s*(?:- )?image: *[\"']?([^\s\"']+)|^(?:ARG \w*IMAGE=|FROM +)(\S+)", re.MULTILINE
)
CRANE = "#!/bin/sh\necho sha256:$(printf '%s' \"$2\" | sha256sum | cut -c1-64)\n"


def named_images() -> set[str]:
    """Every image that a file below deploy/ names: in manifests, in compose, and in the Dockerfile."""
    return {
        manifest or build
        for path in (ROOT / "deploy").rglob("*")
        if path.suffix in {".yaml", ".yml", ".json"} or path.name == "Dockerfile"
        for manifest, build in NAMED.findall(path.read_text())
    }


def images_of_others() -> set[str]:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"].values()
    found = {service["image"] for service in compose} | named_images()
    for overlay in ("dev", "prod"):
        found |= {
            container["image"]
            for resource in workloads(rendered(overlay))
            for container in resource.containers
        }
    return {image for image in found if not OURS.match(image)}


def test_every_image_of_others_has_a_version_and_a_digest() -> None:
    images = images_of_others()
    assert {image.partition(":")[0] for image in images} >= {
        "apache/kafka",
        "cassandra",
        "envoyproxy/envoy",
        "oliver006/redis_exporter",
        "python",
        "valkey/valkey",
    }
    assert [image for image in sorted(images) if not PINNED.fullmatch(image)] == []


@pytest.fixture
def copies(tmp_path: Path) -> list[Path]:
    return [Path(shutil.copy(ROOT / name, tmp_path)) for name in FILES]


def pin(copies: list[Path], crane: str) -> subprocess.CompletedProcess[str]:
    tool = copies[0].parent / "crane"
    tool.write_text(crane)
    tool.chmod(0o755)
    return subprocess.run(
        [ROOT / "scripts/pin_images", *copies],
        # The script needs PATH and the like.
        env={**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"},  # noqa: TID251
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_pins_every_image_of_others_and_only_those(copies: list[Path]) -> None:
    # The second time it takes the digest of the same tag.
    for _ in range(2):
        ran = pin(copies, CRANE)
        assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == len(images_of_others())
    named = [
        image
        for path in copies
        for image in re.findall(
            r"^(?:\s*(?:- )?image: |ARG PYTHON_IMAGE=)(\S+)$", path.read_text(), re.MULTILINE
        )
    ]
    assert len(named) > 5
    for image in named:
        assert ("@" in image) != image.startswith("fanfold/"), image
        assert "@" not in image or PINNED.fullmatch(image), image


def test_a_text_that_is_no_digest_is_never_written(copies: list[Path]) -> None:
    before = [path.read_text() for path in copies]
    ran = pin(copies, "#!/bin/sh\necho latest\n")
    assert ran.returncode == 1
    assert "Not a digest" in ran.stderr
    assert [path.read_text() for path in copies] == before
