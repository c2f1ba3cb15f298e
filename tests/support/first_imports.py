"""Each process of a session compiles its share of the test modules.

In a fresh clone pytest rewrites and compiles each test module when it is first imported, and leaves the result on disk. All processes
import all modules in the same order: each would compile all of them at the same moment. Here each process first imports a share of its
own, and then finds the others' on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from _pytest.pathlib import import_path


class FirstImports:
    """A plugin of the processes that xdist starts, made with what xdist gives to each."""

    def __init__(self, workerinput: Mapping[str, Any]) -> None:
        self.number = int(workerinput["workerid"].removeprefix("gw"))
        self.processes = int(workerinput["workercount"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        for module in modules_of(session.config)[self.number :: self.processes]:
            _import(module, session.config)


def modules_of(config: pytest.Config) -> list[Path]:
    """The files that the arguments of the command line name, sorted: the same in each process."""
    chosen = (Path(argument.split("::")[0]) for argument in config.args)
    ignored: list[str] = config.getini("norecursedirs")
    return sorted({module.resolve() for path in chosen for module in _below(path, ignored)})


def _below(path: Path, ignored: list[str]) -> Iterator[Path]:
    if path.is_file():
        yield path
    for module in path.rglob("test_*.py"):
        folders = module.relative_to(path).parts[:-1]
        if not any(fnmatch(folder, pattern) for folder in folders for pattern in ignored):
            yield module


def _import(module: Path, config: pytest.Config) -> None:
    """As collection does, which finds it imported; what can't be imported fails there, where it is reported."""
    with suppress(Exception, pytest.skip.Exception):
        import_path(
            module,
            mode=config.getoption("--import-mode"),
            root=config.rootpath,
            consider_namespace_packages=config.getini("consider_namespace_packages"),
        )
