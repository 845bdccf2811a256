"""Reads which module of a package imports what, from the source alone: nothing is imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One imported module, or one imported name of a module."""

    importer: str
    """Dotted name of the importing module."""
    target: str
    """The module; for ``from module import name``, ``module.name``."""
    line: int
    in_function: bool = False
    typing_only: bool = False
    """Stands under ``if TYPE_CHECKING:``, so it never runs."""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def modules(package: Path) -> dict[str, Path]:
    """Source files of the package by dotted name; a package's own name is its ``__init__``."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(package: Path) -> list[Import]:
    """All imports of all modules of the package."""
    return [
        found
        for name, path in modules(package).items()
        for found in _Reader(name, path).read(ast.parse(path.read_text(encoding="utf-8")))
    ]


def is_within(module: str, *others: str) -> bool:
    """Whether the module is one of the others or inside one of them."""
    return any(module == other or module.startswith(other + ".") for other in others)


class _Reader:
    def __init__(self, module: str, path: Path) -> None:
        self._module = module
        # What one dot stands for in a relative import.
        self._package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def read(
        self, node: ast.AST, *, in_function: bool = False, typing_only: bool = False
    ) -> Iterator[Import]:
        for target in self._targets(node):
            line = getattr(node, "lineno", 0)
            yield Import(self._module, target, line, in_function, typing_only)
        inside = in_function or isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        )
        guarded = set(node.body) if isinstance(node, ast.If) and _is_type_checking(node) else set()
        for child in ast.iter_child_nodes(node):
            yield from self.read(
                child, in_function=inside, typing_only=typing_only or child in guarded
            )

    def _targets(self, node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            base = self._base(node)
            return [f"{base}.{alias.name}" for alias in node.names]
        return []

    def _base(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        package = self._package.split(".")
        package = package[: len(package) - node.level + 1]
        return ".".join([*package, *([node.module] if node.module else [])])


def _is_type_checking(node: ast.If) -> bool:
    return ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
