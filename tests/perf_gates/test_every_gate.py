"""Every gate in contracts/gates.toml is measured by exactly one test in perf_gates/."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import perf_gates
from contracts.gates import Gate, load_gates

TESTS = Path(next(iter(perf_gates.__path__)))
GATES = load_gates()


@cache
def judged_in(folder: Path) -> dict[str, set[str]]:
    """The tests that call `report.judge` or `report.judge_metric`, by the gate id or metric they pass."""
    tests: dict[str, set[str]] = defaultdict(set)
    for path in folder.rglob("test_*.py"):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                name = _judged_by(node)
                if name is not None:
                    tests[name].add(f"{path.name}::{function.name}")
    return tests


def _judged_by(node: ast.AST) -> str | None:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    if node.func.attr not in ("judge", "judge_metric") or not isinstance(node.args[0], ast.Constant):
        return None
    return str(node.args[0].value)


@pytest.mark.parametrize("gate", tuple(GATES), ids=lambda gate: gate.id)
def test_each_gate_has_exactly_one_test(gate: Gate) -> None:
    judged = judged_in(TESTS)
    tests = judged[gate.id] | judged[gate.metric]
    assert len(tests) == 1, f"{gate.id} {gate.title}: measured by {sorted(tests) or 'no test'}"


def test_no_test_judges_an_unknown_gate() -> None:
    known = {gate.id for gate in GATES} | {gate.metric for gate in GATES}
    assert set(judged_in(TESTS)) <= known


def test_only_tests_that_judge_a_gate_count(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "def test_one(report):\n    report.judge('G-1.2a', 1)\n\ndef test_two(report):\n    report.add_note('G-1.2b')\n"
    )
    assert judged_in(tmp_path) == {"G-1.2a": {"test_some.py::test_one"}}
