"""Copy what the image needs apart from the services: Python, and the shared libraries of Python and of the services.

Runs while the image is built. The image holds nothing else: no shell, no package manager, no compiler.
`python assemble.py ENVIRONMENT ROOT`: `ENVIRONMENT` is a virtual environment of this Python, whose extension modules are searched for
shared libraries; `ROOT` is the directory that becomes `/`.
"""

from __future__ import annotations

import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

USER_ID = 10001
"""A number: Kubernetes can't tell that a user name isn't root's."""

# Modules of the standard library that install, build, draw windows, or test Python itself.
LEFT_OUT = (
    *("ensurepip", "venv", "lib2to3", "config-*", "site-packages", "dist-packages"),
    *("idlelib", "tkinter", "turtledemo", "turtle.py", "test", "pydoc_data"),
)
# Extension modules of these kinds, and those that need the libraries of terminals, databases and NIS.
EXTENSIONS_LEFT_OUT = (
    *("_tkinter*", "_test*", "_ctypes_test*", "xx*"),
    *("_curses*", "readline*", "_*dbm*", "nis*"),
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_LOADERS = ("lib64/ld-linux-*.so.2", "lib/ld-linux-*.so.1")
_LIBRARY = re.compile(r"^\t(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)
_MISSING = re.compile(r"^\t(\S+) => not found", re.MULTILINE)


def assemble(environment: Path, root: Path) -> None:
    """Fill `root`. Raises `SystemExit` when a library is missing from this system."""
    python = Path(sys.executable).resolve()
    modules = Path(sysconfig.get_path("stdlib"))
    put(python, root)
    link = _below(root, environment / "bin" / "python")
    link.parent.mkdir(parents=True)
    link.symlink_to(python)
    shutil.copytree(modules, _below(root, modules), symlinks=True, ignore=_unwanted)
    linked = [python, *modules_in(_below(root, modules)), *modules_in(environment)]
    for library in shared_libraries(linked):
        put(library, root)
    _write_accounts(root)
    put(CERTIFICATES, root)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    # The root is read-only, so nothing can be compiled later. Unchecked hashes: no file timestamp makes a compiled file stale.
    compiled = compileall.compile_dir(
        _below(root, modules),
        quiet=1,
        stripdir=str(root),
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise SystemExit("the standard library can't be compiled")


def modules_in(directory: Path) -> Iterator[Path]:
    """Extension modules, and the libraries that wheels contain."""
    return (path for path in directory.rglob("*.so*") if path.is_file())


def shared_libraries(programs: Iterable[Path]) -> set[Path]:
    """The loader, and the system's libraries that these programs load; not those that their own packages contain."""
    loader = next(found for pattern in _LOADERS for found in sorted(Path("/").glob(pattern)))
    own = {program.resolve() for program in programs}
    found = {loader}
    for program in own:
        listed = subprocess.run(  # noqa: S603 - no user input
            [loader, "--list", program], capture_output=True, text=True, check=False
        ).stdout
        if missing := _MISSING.findall(listed):
            raise SystemExit(f"{program} needs {missing}, which this system lacks")
        found |= {
            path for name in _LIBRARY.findall(listed) if (path := Path(name)).resolve() not in own
        }
    return found


def _unwanted(directory: str, names: list[str]) -> set[str]:
    patterns = ["__pycache__"]
    if directory == sysconfig.get_path("stdlib"):
        patterns += LEFT_OUT
    if Path(directory).name == "lib-dynload":
        patterns += EXTENSIONS_LEFT_OUT
    return set(shutil.ignore_patterns(*patterns)(directory, names))


def put(file: Path, root: Path) -> None:
    """Copy a file to the same path below `root`, under its own name and in its resolved directory."""
    target = _below(root, file.parent.resolve()) / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target)
    # /lib and /lib64 are links into /usr, and the kernel opens the loader by the short path.
    short = Path("/", file.parts[1])
    if short.is_symlink() and not _below(root, short).is_symlink():
        _below(root, short).symlink_to(short.resolve().relative_to("/"))


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _write_accounts(root: Path) -> None:
    etc = root / "etc"
    etc.mkdir(parents=True, exist_ok=True)
    home = "/tmp:/none"  # noqa: S108 - the only directory that it may write to
    (etc / "passwd").write_text(
        f"root:x:0:0:root:/:/none\nfanfold:x:{USER_ID}:{USER_ID}:Fanfold:{home}\n"
    )
    (etc / "group").write_text(f"root:x:0:\nfanfold:x:{USER_ID}:\n")
    # Host names: /etc/hosts before DNS.
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    # The official Python image registers libpython there.
    cache = Path("/etc/ld.so.cache")
    if cache.exists():
        shutil.copy2(cache, etc)


if __name__ == "__main__":
    assemble(Path(sys.argv[1]), Path(sys.argv[2]))
