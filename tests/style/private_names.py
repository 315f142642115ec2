"""Finds code that reaches into what others keep private: `x._name`, of anything but the code's own class.

Run with `python -m tests.style.private_names`; `tox -e layers` does.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MAX_IN_TESTS: Final = 17
"""What tests and gates may reach into: less is better, and a part that tests need is better made public."""
DOCUMENTED: Final = frozenset(
    {
        "os._exit",
        "sys._current_frames",
        "argparse._SubParsersAction",  # the type of what `add_subparsers` returns
        "functools._lru_cache_wrapper",  # the type of what `cache` returns
        "machine._replace",  # of namedtuples
        "usage._replace",
    }
)
"""Names of the standard library that start with an underscore although they are documented, or have no other name."""
_BY_NAME: Final = frozenset({"setattr", "getattr", "delattr"})


@dataclass(frozen=True, slots=True)
class Reach:
    path: Path
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name}"


def reaches_in(*folders: str) -> list[Reach]:
    """Those of all modules of these folders of the repository."""
    paths = [path.relative_to(ROOT) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [
        Reach(path, line, name)
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
        for line, name in reaches_of(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if name not in DOCUMENTED
    ]


def reaches_of(node: ast.AST, own: frozenset[str] = frozenset()) -> Iterator[tuple[int, str]]:
    """The line and the name of each. `own` are the private names of the class around."""
    if isinstance(node, ast.ClassDef):
        own |= set(_names_of(node))
    for line, owner, name in _private_mentions(node):
        if owner not in {"self", "cls"} and not (owner and name in own):
            yield line, f"{owner}.{name}" if owner else name
    for child in ast.iter_child_nodes(node):
        yield from reaches_of(child, own)


def _private_mentions(node: ast.AST) -> Iterator[tuple[int, str, str]]:
    """The line, the owner and the name of each attribute that a node names, and of each name that it imports."""
    match node:
        case ast.Attribute(attr=name) if _is_private(name):
            yield node.lineno, ast.unparse(node.value), name
        case ast.ImportFrom():
            names = [alias.name for alias in node.names if _is_private(alias.name)]
            yield from ((node.lineno, node.module or "", name) for name in names)
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in _BY_NAME:
            texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            names = [text.rpartition(".")[2] for text in texts if isinstance(text, str)]
            yield from ((node.lineno, "", name) for name in names if _is_private(name))


def _names_of(node: ast.ClassDef) -> Iterator[str]:
    """What a class defines, and what its methods set and read of `self` and `cls`."""
    for each in ast.walk(node):
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                yield name


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def main() -> int:
    """Print what is to be changed; 1 if there is something."""
    wrong = reaches_in("pensieve", "contracts", "features")
    in_tests = reaches_in("tests", "perf_gates")
    if len(in_tests) > MAX_IN_TESTS:
        wrong += in_tests
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
