"""Finds code that reaches into what others keep private: `x._name`, of anything but the code's own class, a private
module, or a private name that is a text in a call or a table.

Run with `python -m tests.style.private_names`; `tox -e layers` does.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
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
        "cost._replace",  # of namedtuples
        "machine._replace",
        "usage._replace",
    }
)
"""Names of the standard library that start with an underscore although they are documented, or have no other name."""
_BY_NAME: Final = frozenset(
    {"setattr", "getattr", "delattr", "hasattr", "getattr_static", "attrgetter", "methodcaller", "import_module"}
)
_NAME: Final = re.compile(r"_[a-z]\w*")
_MAY_REACH: Final = re.compile(
    r"""(?<!\bself)(?<!\bcls)\._|['"][\w.]*\b_[a-zA-Z]|^ *(?:from|import) .*\b_[a-zA-Z]|^ +_\w+(?: as \w+)?,""",
    re.MULTILINE,
)
"""Most modules need not be parsed: an attribute, a text, an import, and one of several names that are imported."""


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
    texts = ((path, (ROOT / path).read_text(encoding="utf-8")) for path in paths if not _is_hidden(path))
    return [
        Reach(path, line, name)
        for path, text in texts
        if may_reach(text)
        for line, name in reaches_of(ast.parse(text))
        if name not in DOCUMENTED
    ]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def may_reach(text: str) -> bool:
    """Whether `reaches_of` could find anything in a module: False only if it could not."""
    return _MAY_REACH.search(text) is not None


def reaches_of(node: ast.AST, own: frozenset[str] = frozenset()) -> Iterator[tuple[int, str]]:
    """The line and the name of each. `own` are the private names of the class around."""
    if isinstance(node, ast.ClassDef):
        own |= set(names_of(node))
    for line, owner, name in _private_mentions(node):
        if owner not in {"self", "cls"} and not (owner and name in own):
            yield line, f"{owner}.{name}" if owner else name
    for child in ast.iter_child_nodes(node):
        if not _are_slots(child):
            yield from reaches_of(child, own)


def _private_mentions(node: ast.AST) -> Iterator[tuple[int, str, str]]:
    """The line, the owner and the name of each attribute that a node names, and of each name that it imports."""
    match node:
        case ast.Attribute(attr=name) if is_private(name):
            yield node.lineno, ast.unparse(node.value), name
        case ast.ImportFrom():
            names = [alias.name for alias in node.names if is_private(alias.name)]
            yield from ((node.lineno, node.module or "", name) for name in names)
            yield from _in_texts(node, [node.module or ""])
        case ast.Import():
            yield from _in_texts(node, [alias.name for alias in node.names])
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in _BY_NAME:
            yield from _in_texts(node, _texts(node.args[:2]))
        case ast.Subscript(value=ast.Call(func=ast.Name(id="vars")) | ast.Attribute(attr="__dict__")):
            yield from _in_texts(node, _texts([node.slice]))
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            yield from _in_texts(node, filter(_NAME.fullmatch, _texts(elements)))


def _in_texts(node: ast.stmt | ast.expr, texts: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    return ((node.lineno, "", part) for text in texts for part in text.split(".") if is_private(part))


def _texts(nodes: Iterable[ast.expr]) -> list[str]:
    return [each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def _are_slots(node: ast.AST) -> bool:
    """`__slots__` name what is the class's own."""
    return isinstance(node, ast.Assign) and [*map(ast.unparse, node.targets)] == ["__slots__"]


def names_of(node: ast.ClassDef) -> Iterator[str]:
    """What a class defines, and what its methods set and read of `self` and `cls`."""
    for each in ast.walk(node):
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                yield name


def is_private(name: str) -> bool:
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
