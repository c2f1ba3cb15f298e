"""Which test modules the processes of a session import before they collect."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.first_imports import FirstImports, modules_of


def config_for(root: Path, *arguments: str) -> pytest.Config:
    settings = {
        "norecursedirs": [".*", "faults"],
        "consider_namespace_packages": False,
    }
    return cast(
        pytest.Config,
        SimpleNamespace(
            args=[str(root / argument) for argument in arguments],
            rootpath=root,
            getini=settings.__getitem__,
            getoption=lambda _name: "importlib",
        ),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("one/test_a.py", "one/test_b.py", "one/faults/test_c.py", "one/support.py"):
        module = tmp_path / name
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text("from pathlib import Path\nPath(f'{__file__}.imported').touch()\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["one"], ["test_a.py", "test_b.py"]),
        (["one/test_b.py::test_it[x]", "one/test_b.py"], ["test_b.py"]),
        (["one/faults", "one"], ["faults/test_c.py", "test_a.py", "test_b.py"]),
    ],
)
def test_the_modules_are_those_that_collection_imports(
    root: Path, arguments: list[str], names: list[str]
) -> None:
    found = modules_of(config_for(root, *arguments))
    assert found == [root / "one" / name for name in names]


def test_each_process_imports_a_share_and_a_broken_module_is_left_to_collection(
    root: Path,
) -> None:
    (root / "one/test_a.py").write_text("raise RuntimeError\n")
    session = cast(pytest.Session, SimpleNamespace(config=config_for(root, "one")))
    for process, imported in (("gw0", False), ("gw1", True)):
        FirstImports({"workerid": process, "workercount": 2}).pytest_collection(session)
        assert (root / "one/test_b.py.imported").exists() is imported
