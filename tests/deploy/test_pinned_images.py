"""Images of others: which of them are still named by a tag alone, and the script that writes their digests."""

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
    "deploy/k8s/components/cassandra/repair.yaml",
    "deploy/k8s/components/valkey/valkey.yaml",
    "deploy/docker/Dockerfile",
)
BY_TAG = {
    "envoyproxy/envoy:v1.40.0",
    "oliver006/redis_exporter:v1.88.0",
    "thelastpickle/cassandra-reaper:5.0.0",
}
"""No registry could be reached, and no published record has a digest of these that others confirm. `make pin-images` empties this list, and then it must stay empty."""
PINNED = re.compile(r"[^@\s]+:[^@\s]+@sha256:[0-9a-f]{64}")
CRANE = "#!/bin/sh\necho sha256:$(printf '%s' \"$2\" | sha256sum | cut -c1-64)\n"


def images_of_others() -> set[str]:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"].values()
    dockerfile = (ROOT / "deploy/docker/Dockerfile").read_text()
    found = {service["image"] for service in compose}
    found |= set(re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE))
    for overlay in ("dev", "prod"):
        found |= {
            container["image"]
            for resource in workloads(rendered(overlay))
            for container in resource.containers
        }
    return {image for image in found if "fanfold/fanfold" not in image}


def test_the_images_that_are_still_named_by_tag_are_known() -> None:
    images = images_of_others()
    assert images
    assert {image for image in images if not PINNED.fullmatch(image)} == BY_TAG


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
