"""`make bench ONLY=t` compares with a build that has no hooks for traces: they are left out, and nothing else is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from bench.without_hooks import HOOKS, without_hooks
from fanfold.core import tracing

ROOT = Path(__file__).parents[2]
HOOKED = [
    path
    for folder in ("fanfold", "services")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "from fanfold.core import tracing" in path.read_text()
]


def left(source: str) -> str:
    return ast.unparse(without_hooks(ast.parse(source)))


def test_a_hook_is_left_out_and_what_it_surrounds_stays() -> None:
    assert left("async def f():\n    with tracing.doing('x', {}), lock:\n        work()") == (
        "async def f():\n    with lock:\n        work()"
    )
    assert left("with tracing.sending('t'):\n    a()\n    b()") == "a()\nb()"
    assert (
        left("if tracing.spans() is not None:\n    tracing.describe({})\nelse:\n    a()") == "a()"
    )
    assert left("def f():\n    tracing.describe({})") == "def f():\n    pass"
    assert left("send(extensions=tracing.carried())") == "send(extensions=[])"
    assert (
        left("with lock:\n    if ready:\n        a()") == "with lock:\n    if ready:\n        a()"
    )


@pytest.mark.parametrize("path", HOOKED, ids=lambda path: path.stem)
def test_no_hook_is_left_in_the_product(path: Path) -> None:
    kept = {
        part.attr
        for part in ast.walk(without_hooks(ast.parse(path.read_text())))
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id == "tracing"
    }
    assert not kept & HOOKS


def test_every_hook_is_known() -> None:
    public = {
        name
        for name, value in vars(tracing).items()
        if callable(value) and not name.startswith("_") and value.__module__ == tracing.__name__
    }
    classes = {"Attributes", "Spans", "TraceParent"}
    # `use` is for composition roots, and no part of the work.
    assert public - classes - {"use"} == HOOKS


@pytest.mark.slow
def test_a_build_without_hooks_is_imported_beside_the_compiled_files_of_the_other() -> None:
    code = """
from bench import without_hooks
without_hooks.install()
import feed_service.http
names = feed_service.http.FeedRoutes.read_feed.__code__.co_names
assert "describe" not in names and "page" in names, names
assert feed_service.http.__spec__.loader.__class__.__module__ == "bench.without_hooks"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    import feed_service.http

    assert "describe" in feed_service.http.FeedRoutes.read_feed.__code__.co_names
