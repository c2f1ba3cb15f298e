"""The Dockerfile without a build, and what the build script says on a machine that can't build images."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib

from tests.support.image import IMAGE, ROOT

DOCKERFILE = re.sub(
    r"\\\n\s*", "", (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
).splitlines()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def instructions(kind: str) -> list[str]:
    return [line.removeprefix(f"{kind} ") for line in DOCKERFILE if line.startswith(f"{kind} ")]


def test_everything_that_is_installed_has_a_hash_or_comes_from_this_repository() -> None:
    installed = [
        command
        for run in instructions("RUN")
        for command in run.split("&&")
        if " install " in command
    ]
    assert len(installed) == 3
    for command in installed:
        assert "--require-hashes" in command or "--no-index --no-deps" in command, command
        assert "--only-binary :all:" in command or "--no-index" in command, command


def test_the_image_starts_from_scratch_and_takes_only_what_was_built() -> None:
    last = len(DOCKERFILE) - DOCKERFILE[::-1].index("FROM scratch")
    copied = [line for line in DOCKERFILE[last:] if line.startswith(("COPY", "ADD"))]
    assert copied
    assert [line for line in copied if not line.startswith("COPY --from=build ")] == []
    assert [line for line in DOCKERFILE[last:] if line.startswith("RUN")] == []


def test_no_shell_stands_between_the_runtime_and_the_service() -> None:
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["/opt/fanfold/bin/fanfold"]
    assert json.loads(instructions("CMD")[0]) == ["--help"]
    assert instructions("USER") == ["10001:10001"]


def test_every_package_of_the_distribution_is_sent_to_the_build() -> None:
    sent = {source for copy in instructions("COPY") for source in copy.split()[:-1]}
    admitted = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {path.split("/")[0] for path in [*wheel["packages"], *wheel["force-include"]]}
    assert needed <= sent
    assert needed <= admitted


def test_it_is_built_on_a_python_that_the_project_supports() -> None:
    version = re.fullmatch(
        r"PYTHON_IMAGE=python:3\.(\d+)-slim-\w+(?:@sha256:[0-9a-f]{64})?", instructions("ARG")[0]
    )
    assert version
    oldest, too_new = re.findall(r"3\.(\d+)", PYPROJECT["project"]["requires-python"])
    assert int(oldest) <= int(version[1]) < int(too_new)


def test_without_a_tool_that_builds_images_the_script_says_what_to_install() -> None:
    done = subprocess.run(
        ["scripts/build_image"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "IMAGE_TOOL": "nothing-that-exists"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "sudo apt-get install buildah" in done.stderr
    assert "nothing-that-exists" in done.stderr


def test_the_script_names_the_image_by_the_version_of_the_project() -> None:
    name, version = IMAGE.split(":")
    assert f"image={name}:$version\n" in (ROOT / "scripts" / "build_image").read_text()
    assert version == PYPROJECT["project"]["version"]
