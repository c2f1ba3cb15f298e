"""The product without its hooks for traces: each use of `tracing` is left out of the modules while they are imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

OURS = frozenset(
    {"fanfold", "all_in_one", "post_service", "graph_service", "fanout_service"}
    | {"feed_service", "console_service"}
)
HOOKS = frozenset({"carried", "current", "describe", "doing", "processing", "sending", "spans"})
"""Of `fanfold.core.tracing`."""


def install() -> None:
    """From now on, import the product's modules without hooks. Modules that are imported already stay as they are."""
    sys.meta_path.insert(0, _Finder())


def without_hooks(tree: ast.Module) -> ast.Module:
    """The module as if nothing had ever been traced."""
    left: ast.Module = _LeaveOut().visit(tree)
    return ast.fix_missing_locations(left)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or fullname.partition(".")[0] not in OURS:
            return None
        if isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def path_stats(self, path: str) -> Any:
        # So that no compiled file is read or written: those have the hooks.
        raise OSError(path)

    def source_to_code(  # type: ignore[override]
        self, data: bytes, path: str, *, _optimize: int = -1
    ) -> CodeType:
        tree = without_hooks(ast.parse(data))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)


class _LeaveOut(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if _is_hook(node.value) else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        asks = any(_is_hook(part) for part in ast.walk(node.test))
        if not asks:
            return _filled(self.generic_visit(node))
        return [self.visit(other) for other in node.orelse] or None

    def visit_With(self, node: ast.With) -> Any:
        _filled(self.generic_visit(node))
        kept = [item for item in node.items if not _was_hook(item.context_expr)]
        node.items = kept
        return node if kept else node.body

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not _is_hook(node):
            return self.generic_visit(node)
        if node.func.attr == "carried":  # type: ignore[attr-defined]
            return ast.List(elts=[], ctx=ast.Load())
        return ast.Constant(value=None)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return _filled(self.generic_visit(node))

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return _filled(self.generic_visit(node))


def _is_hook(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "tracing"
        and node.func.attr in HOOKS
    )


def _was_hook(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _filled(node: Any) -> Any:
    node.body = node.body or [ast.Pass()]
    return node
