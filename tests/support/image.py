"""The image as `make image` builds it, and containers of it under the strictest rules that Kubernetes can set.

Built by buildah over this machine's Python, run by podman: as root, on Linux, without a registry.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
IMAGE = f"fanfold/fanfold:{VERSION}"
TOOLS = ("buildah", "podman", "runc")
# Kept, so that what has not changed is not built again. `make clean` removes it.
HOME = ROOT / ".cache" / "images"
STOPS_WITHIN_S = 20

# Nothing but the network is the machine's, as in a pod with a restricted profile. (The limits and cgroup options are
# what a container inside a container may still set.)
RESTRICTED = [
    *("--network", "host", "--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--cgroups", "no-conmon", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
]


def why_not() -> str:
    """Why the image can't be built and run here; empty if it can."""
    if os.getuid() != 0:
        return "containers are built and run as root here"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"sudo apt-get install {' '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Image:
    """`sbom` is the file that the build left beside it."""

    sbom: Path
    name: str = IMAGE

    def configured(self) -> dict[str, Any]:
        """Its configuration in OCI's words: User, Entrypoint, Labels, …"""
        shown = _tool("podman", "image", "inspect", self.name)
        found: dict[str, Any] = json.loads(shown)[0]["Config"]
        return found

    def save(self, path: Path) -> None:
        """As an archive for `ctr images import`, under the name that manifests give it."""
        path.unlink(missing_ok=True)
        _tool("podman", "push", self.name, f"docker-archive:{path}:docker.io/{self.name}")

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Its file system, read-only."""
        at = Path(_tool("podman", "image", "mount", self.name).strip())
        try:
            yield at
        finally:
            _tool("podman", "image", "umount", self.name)

    def run(self, *command: str, settings: Mapping[str, str]) -> Container:
        """Start a container of it with this command. The caller removes it."""
        variables = [f"--env={name}={value}" for name, value in settings.items()]
        started = _podman(
            "run", "--detach", "--pull=never", *RESTRICTED, *variables, self.name, *command
        )
        return Container(started.strip())

    def finished(self, *command: str, settings: Mapping[str, str]) -> str:
        """What it said, when it ends well."""
        container = self.run(*command, settings=settings)
        try:
            status = int(_tool("podman", "wait", container.name))
            assert status == 0, container.said()
            return container.said()
        finally:
            container.remove()


@dataclass(frozen=True)
class Container:
    name: str

    def said(self) -> str:
        """What it wrote to stdout and stderr."""
        return _tool("/bin/sh", "-c", f"podman logs {self.name} 2>&1")

    def pid(self) -> int:
        """Of its first process, as the machine counts."""
        return int(_tool("podman", "inspect", "--format", "{{.State.Pid}}", self.name))

    def stop(self) -> tuple[int, float]:
        """Its exit status and the seconds that it took, after the signal that the image asks to be stopped with."""
        started_s = time.monotonic()
        _tool("podman", "stop", "--time", str(STOPS_WITHIN_S), self.name)
        took_s = time.monotonic() - started_s
        return int(_tool("podman", "inspect", "--format", "{{.State.ExitCode}}", self.name)), took_s

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):
            _tool("podman", "rm", "--force", "--time", "0", self.name)


def build() -> Image:
    """Build it by scripts/build_image, over this machine's Python.

    Not again while it is there and made from the same files: then only the revision in its labels may be an older one.
    """
    storage = _storage().parent
    sbom, stamp = storage / f"fanfold-{VERSION}.cdx.json", storage / f"built-{_inputs()}"
    if not (sbom.exists() and stamp.exists() and stamp.read_text() == _image_id()):
        _build(ROOT)
        for older in storage.glob("built-*"):
            older.unlink()
        stamp.write_text(_image_id())
    return Image(sbom)


def build_of(sources: Path, version: str) -> Image:
    """The image of another checkout, whose version this is, by its own script."""
    _build(sources)
    sbom = _storage().parent / f"fanfold-{version}.cdx.json"
    return Image(sbom, f"fanfold/fanfold:{version}")


def _build(sources: Path) -> None:
    _run(
        [str(sources / "scripts" / "build_image")],
        cwd=sources,
        IMAGE_TOOL="buildah",
        PYTHON_IMAGE="this-machine",
        DIST=str(_storage().parent),
    )


def _inputs() -> str:
    """A hash of every file that the image, or its base, is made from."""
    named = ("LICENSE", "README.md", "pyproject.toml", ".dockerignore", "scripts/build_image")
    folders = ("requirements", "fanfold", "services", "schemas", "deploy/docker")
    files = {ROOT / name for name in named} | {
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    content = hashlib.sha256(sys.version.encode())
    for path in sorted(files):
        content.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode}\0".encode())
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:16]


def _image_id() -> str:
    """Of the image with our name; empty if there is none."""
    return _tool("buildah", "images", "--quiet", "--no-trunc", "--filter", f"reference={IMAGE}")


def _podman(*arguments: str) -> str:
    # crun, the other runtime, refuses the cgroups of some machines.
    return _tool("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", *arguments)


def _tool(*command: str) -> str:
    return _run(list(command))


def _run(command: list[str], *, cwd: Path = ROOT, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={
            **os.environ,  # noqa: TID251 - handed on
            "CONTAINERS_STORAGE_CONF": str(_storage()),
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@cache
def _storage() -> Path:
    """Where images and containers are kept: on overlays if this machine has them, else as whole copies."""
    for driver in ("overlay", "vfs"):
        home = HOME / driver
        home.mkdir(parents=True, exist_ok=True)
        configuration = home / "storage.conf"
        configuration.write_text(
            f'[storage]\ndriver = "{driver}"\ngraphroot = "{home}/storage"\nrunroot = "{home}/run"\n'
        )
        environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(configuration)}  # noqa: TID251
        tried = subprocess.run(
            ["buildah", "info"], env=environment, capture_output=True, check=False
        )
        if tried.returncode == 0:
            break
    return configuration
