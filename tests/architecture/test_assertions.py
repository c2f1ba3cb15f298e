"""A test asserts something: by `assert`, by expecting an error, or through a function of the tests that does."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
SUPPORT = TESTS / "support"
EXPECTING = {"pytest.raises", "pytest.warns", "pytest.fail", ".call_and_validate", "expect"}
"""Of pytest, schemathesis and Playwright."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Found:
    """A function of the tests, and the names of what it calls or hands on to be called.

    A method is named with a dot before it, and with its module where that holds tests: only tests there can have it.
    """

    name: str
    test: bool
    asserts: bool
    uses: frozenset[str]


def functions(source: str, module: str) -> Iterator[Found]:
    tree = ast.parse(source)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    methods = {node for defined in classes for node in defined.body}
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield Found(
                name=f"{module}.{node.name}" if node in methods else node.name,
                test=node.name.startswith("test_"),
                asserts=any(isinstance(part, ast.Assert) for part in ast.walk(node)),
                uses=frozenset(used_names(node, module)),
            )


def used_names(function: Function, module: str) -> Iterator[str]:
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        for used in (call.func, *call.args):
            if isinstance(used, ast.Name):
                yield used.id
            elif isinstance(used, ast.Attribute):
                yield from (f".{used.attr}", f"{module}.{used.attr}", ast.unparse(used))


def without_assertion(found: Sequence[Found]) -> list[str]:
    """The tests that assert nothing, themselves or through what they call, however indirectly."""
    asserting, before = set(EXPECTING), -1
    while len(asserting) > before:
        before = len(asserting)
        asserting |= {
            function.name
            for function in found
            if not function.test and (function.asserts or function.uses & asserting)
        }
    return [
        function.name
        for function in found
        if function.test and not (function.asserts or function.uses & asserting)
    ]


def test_every_test_asserts_something() -> None:
    found = [
        function
        for path in TESTS.rglob("*.py")
        for function in functions(
            path.read_text(), module="" if SUPPORT in path.parents else path.stem
        )
    ]
    assert len(found) > 1000
    assert without_assertion(found) == []


def test_a_test_that_only_calls_the_product_is_found() -> None:
    helpers = """
def shows(page):
    assert page.items

class Reader:
    def check(self):
        shows(self.page)
"""
    tests = """
def test_nothing():
    log.ping()

def test_something():
    shows(read())

def test_by_a_method():
    reader.check()
"""
    found = [*functions(helpers, "test_one"), *functions(tests, "test_two")]
    assert without_assertion(found) == ["test_nothing", "test_by_a_method"]
    found = [*functions(helpers, ""), *functions(tests, "test_two")]
    assert without_assertion(found) == ["test_nothing"]
