"""The shape of the tree: how much one folder, module or class may hold, how packages depend on each other, and that the
picture in ARCHITECTURE.md is the one that import-linter holds.
"""

from __future__ import annotations

import ast
import gc
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = ("contracts", "features", "pensieve", "perf_gates", "tests")
MAX_FILES, MAX_MODULE_LINES, MAX_CLASS_LINES, MAX_FUNCTION_LINES = 12, 300, 200, 40
MAX_ARROWS = {"pensieve.engine": 54, "pensieve.models": 79, "features.harness": 33}
"""Half of the imports between siblings that there were when the packages were flat: 109, 159 and 66."""


def _is_hidden(path: Path) -> bool:
    """Whether the path is in a folder that git ignores, such as the downloads of tests."""
    return any(part.startswith(".") for part in path.relative_to(ROOT).parts)


@cache
def modules() -> dict[Path, ast.Module]:
    found = [path for top in TOP for path in sorted((ROOT / top).rglob("*.py")) if not _is_hidden(path)]
    return {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in found}


@cache
def definitions_and_imports(tree: ast.Module) -> list[ast.AST]:
    """Those of any depth, but none within an expression."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))
    return found


@pytest.fixture(autouse=True, scope="module")
def forget_the_trees() -> Iterator[None]:
    """A million objects, none of them garbage, which each collection would go through."""
    was_enabled = gc.isenabled()
    gc.disable()
    yield
    modules.cache_clear()
    definitions_and_imports.cache_clear()
    if was_enabled:
        gc.enable()


def _lines(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_a_folder_holds_twelve_files_at_most() -> None:
    counts = Counter(path.parent for path in modules())
    assert {str(folder): count for folder, count in counts.items() if count > MAX_FILES} == {}


def test_a_module_fits_three_hundred_lines() -> None:
    lengths = {path: (ROOT / path).read_text(encoding="utf-8").count("\n") for path in modules()}
    assert {str(path): length for path, length in lengths.items() if length > MAX_MODULE_LINES} == {}


def test_a_class_fits_two_hundred_lines_and_a_function_forty() -> None:
    too_long = [
        f"{path}: {node.name} has {_lines(node)} lines"
        for path, tree in modules().items()
        for node in definitions_and_imports(tree)
        if (isinstance(node, ast.ClassDef) and _lines(node) > MAX_CLASS_LINES)
        or (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _lines(node) > MAX_FUNCTION_LINES)
    ]
    assert too_long == []


def test_a_public_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in modules().items():
        for node in tree.body if path.parts[0] != "tests" else ():
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("package", MAX_ARROWS)
def test_siblings_of_a_package_import_each_other_half_as_much_as_when_it_was_flat(package: str) -> None:
    assert len(set(_arrows(package))) <= MAX_ARROWS[package]


def test_a_package_says_what_it_is_for() -> None:
    silent = [
        str(path)
        for path, tree in modules().items()
        if path.name == "__init__.py" and path.parts[0] in {"contracts", "pensieve"} and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_one_package_imports_mlx_lm() -> None:
    """Every other module can be imported, and tested, where mlx-lm is not installed."""
    allowed = ("pensieve/device/mlx_lm/", "perf_gates/", "tests/")
    importers = {str(path) for path, tree in modules().items() if "mlx_lm" in set(_imported_roots(tree))}
    assert {path for path in importers if not path.startswith(allowed)} == set()


def test_the_picture_of_the_layers_is_the_one_that_import_linter_holds() -> None:
    layers = [layer for layer in _contract("layers")["layers"] if not layer.startswith("__")]
    picture = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    drawn = set(re.findall(r"^\s*(\w+) --> (\w+)$", picture, re.MULTILINE))
    expected = {
        (upper, lower)
        for above, below in pairwise(layers)
        for upper in above.split(" | ")
        for lower in below.split(" | ")
    }
    assert {arrow for arrow in drawn if "contracts" not in arrow and "features" not in arrow} == expected
    assert ("core", "contracts") in drawn
    assert ("features", "contracts") in drawn


def test_every_package_with_packages_in_it_has_an_exhaustive_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    held = {name for contract in contracts if contract.get("exhaustive") for name in contract["containers"]}
    parents = {
        ".".join(path.parts[:-2])
        for path in modules()
        if path.name == "__init__.py" and path.parts[0] in {"contracts", "pensieve"} and len(path.parts) > 2
    }
    assert parents - held == set()


def _contract(contract_id: str) -> dict[str, list[str]]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    return next(contract for contract in contracts if contract["id"] == contract_id)


def _imported_roots(tree: ast.Module) -> Iterator[str]:
    for node in definitions_and_imports(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


def _arrows(package: str) -> Iterator[tuple[str, str]]:
    """The imports between direct children of a package: a module, or a package with all that is in it."""
    depth = package.count(".") + 1
    for path, tree in modules().items():
        parts = [*path.parts[:-1], path.stem]
        if ".".join(parts[:depth]) != package or parts[depth] == "__init__":
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            targets = [node.module] if node.module != package else [f"{package}.{alias.name}" for alias in node.names]
            for target in targets:
                imported = target.split(".")
                if target.startswith(f"{package}.") and imported[depth] != parts[depth]:
                    yield parts[depth], imported[depth]
