"""The limits of CONTRIBUTING: a longer module or function should be two."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LONGEST_MODULE = 300
LONGEST_FUNCTION = 40
SAYS_NOTHING = {"utils", "util", "helpers", "common", "manager", "misc"}


def product_modules() -> list[Path]:
    return sorted(
        module for package in ("fanfold", "services") for module in (ROOT / package).rglob("*.py")
    )


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without the signature: ports passed by keyword, one a line, are no burden to read."""
    last = function.end_lineno or function.lineno
    return last - function.body[0].lineno + 1


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_module_is_longer_than_a_reader_wants() -> None:
    lengths = {
        str(module.relative_to(ROOT)): len(module.read_text().splitlines())
        for module in product_modules()
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_MODULE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {
        f"{module.relative_to(ROOT)}:{function.name}": body_lines(function)
        for module in product_modules()
        for function in functions(module)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_every_module_is_named_for_what_it_defines_or_does() -> None:
    assert [str(module) for module in product_modules() if module.stem in SAYS_NOTHING] == []


def test_a_loop_variable_says_what_it_holds() -> None:
    found = [
        f"{module.relative_to(ROOT)}:{name.lineno}"
        for folder in ("fanfold", "services", "deploy", "bench")
        for module in sorted((ROOT / folder).rglob("*.py"))
        for loop in ast.walk(ast.parse(module.read_text()))
        if isinstance(loop, ast.For | ast.AsyncFor | ast.comprehension)
        for name in ast.walk(loop.target)
        if isinstance(name, ast.Name) and name.id == "each"
    ]
    assert found == []
