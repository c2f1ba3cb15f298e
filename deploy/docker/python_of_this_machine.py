"""Builds a base from this machine's own Python, for use where no image registry answers with the official Python image.

Laid out as in that image (`/usr/local`), with a shell, pip, and what dpkg knows of the libraries, and nothing else.
`python -m deploy.docker.python_of_this_machine DIRECTORY` fills `DIRECTORY/base`, and writes `DIRECTORY/pip.conf`: from which index
this machine gets its packages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

from deploy.docker.assemble import CERTIFICATES, modules_in, put, shared_libraries

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
SHELL = Path("/bin/sh")
OS_RELEASE = Path("/etc/os-release")
DPKG = Path("/var/lib/dpkg")
NOT_NEEDED = ("test", "idlelib", "site-packages", "dist-packages", "config-*")
# They may need libraries that are not installed.
UNUSED_EXTENSIONS = ("_tkinter*", "_*dbm*", "_curses*", "readline*", "nis*", "_test*")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "cert")


def lay_out(root: Path) -> None:
    python = Path(sys.executable).resolve()
    modules = Path(sysconfig.get_path("stdlib"))
    home = root / "usr" / "local" / "lib" / VERSION
    shutil.copytree(modules, home, ignore=shutil.ignore_patterns(*NOT_NEEDED, *UNUSED_EXTENSIONS))
    _install_pip(home / "site-packages")
    programs = root / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    shutil.copy2(python, programs / VERSION)
    (programs / "python").symlink_to(VERSION)
    # Also the libraries that wheels expect on any system.
    installed = Path(sysconfig.get_path("platlib"))
    extensions = [*modules_in(home / "lib-dynload"), *modules_in(installed)]
    libraries = shared_libraries([python, SHELL, *extensions])
    for file in (SHELL, CERTIFICATES, OS_RELEASE, *libraries):
        put(file, root)
    _copy_dpkg(root, libraries)
    for directory in ("tmp", "var/tmp", "root"):
        (root / directory).mkdir(parents=True, exist_ok=True)


def _install_pip(site_packages: Path) -> None:
    # This environment was made with one; the Python that it was made from may have none.
    pip = Path(str(distribution("pip").locate_file("pip")))
    shutil.copytree(pip, site_packages / "pip")


def _copy_dpkg(root: Path, libraries: set[Path]) -> None:
    """The listings of the packages that these libraries are from; nothing where there is no dpkg."""
    names = {library.name for library in libraries}
    for listing in (DPKG / "info").glob("*.list"):
        if any(Path(line).name in names for line in listing.read_text().splitlines()):
            put(listing, root)
    if (DPKG / "status").exists():
        put(DPKG / "status", root)


def write_pip_config(path: Path) -> None:
    """In the words of a `pip.conf`, wherever pip has them from: files, or variables of the environment."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - no input
    settings = {
        key.rpartition(".")[2]: value.strip("'")
        for key, _, value in (line.partition("=") for line in listed.stdout.splitlines())
    }
    lines = [f"{name} = {settings[name]}" for name in PIP_SETTINGS if name in settings]
    path.write_text("\n".join(["[global]", *lines]) + "\n")


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    lay_out(directory / "base")
    write_pip_config(directory / "pip.conf")
