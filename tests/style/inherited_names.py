"""Finds classes that override or use what a class of another distribution, which they extend, keeps private."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pkgutil import resolve_name
from typing import Final

from tests.style.private_names import ROOT, Reach, is_private, names_of

_EXTENDS: Final = re.compile(r"^ *class \w+\(", re.MULTILINE)
_OURS: Final = frozenset({"pensieve", "contracts", "features", "perf_gates", "tests"})


def inherited_in(*folders: str) -> list[Reach]:
    """Those of all modules of these folders of the repository."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    texts = [(path.relative_to(ROOT), path.read_text(encoding="utf-8")) for path in paths]
    trees = [(path, ast.parse(text)) for path, text in texts if _EXTENDS.search(text)]
    return [Reach(path, line, name) for path, tree in trees for line, name in inherited_of(tree)]


def inherited_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line of each class, and the name."""
    nodes = list(ast.walk(tree))
    imported = {name: place for node in nodes for name, place in _imported(node)}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            kept = {name for base in node.bases for name in _private_names_of(ast.unparse(base), imported)}
            yield from ((node.lineno, f"{node.name}.{name}") for name in sorted(kept.intersection(names_of(node))))


def _imported(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What code calls a part of another distribution, and the module and the name that this is."""
    match node:
        case ast.ImportFrom(module=str(module)) if _is_others(module):
            yield from ((each.asname or each.name, (module, each.name)) for each in node.names)
        case ast.Import():
            given = [(each.asname or each.name.partition(".")[0], each) for each in node.names if _is_others(each.name)]
            yield from ((name, (each.name if each.asname else name,)) for name, each in given)


def _is_others(module: str) -> bool:
    return module.partition(".")[0] not in _OURS | sys.stdlib_module_names


def _private_names_of(base: str, imported: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Of a class as code names it, if it is another distribution's."""
    name, *rest = base.partition("[")[0].split(".")
    if name in imported:
        yield from filter(is_private, dir(resolve_name(".".join((*imported[name], *rest)))))
