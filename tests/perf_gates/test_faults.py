"""A gate that is made to fail fails and names itself: a sleep in the server's hot path, and a leak there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pensieve.models.files.model_folder import ModelFolder

ROOT = Path(__file__).parents[2]
_FAULT = """
import importlib.abc, importlib.machinery, sys

def spoil(module):
    sound, kept, steps = module.Batch.next, [], [0]
    def spoiled(self):
        steps[0] += 1
        {fault}
        return sound(self)
    module.Batch.next = spoiled

class Spoiler(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "pensieve.engine.batch.batch":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), spoil(module))
        return spec

sys.meta_path.insert(0, Spoiler())
"""
"""A module that Python imports at its start, in the server's process too. It wraps the step of every batch."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("fault", "options", "gate"),
    [
        ("__import__('time').sleep(0.3 if steps[0] % 8 == 0 else 0)", ("-k", "tokens_follow_each_other"), "G-2.2g"),
        ("kept.append(bytes(200_000))", ("-k", "stable_under_load", "--soak", "12"), "G-3.3d"),
    ],
    ids=["a sleep in the hot path", "a leak"],
)
def test_a_fault_fails_its_gate_by_name(
    tmp_path: Path, tiny_folder: ModelFolder, fault: str, options: tuple[str, ...], gate: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_FAULT.format(fault=fault), encoding="utf-8")
    run = run_gates(tmp_path, "--shape", str(tiny_folder.path), *options)
    assert run.returncode == 1, run.stdout + run.stderr
    assert re.search(rf"AssertionError: {re.escape(gate)} .*expected", run.stdout)
    assert re.search(rf"^\| {re.escape(gate)} \|.*\| fail \|$", run.stdout, re.MULTILINE)


def run_gates(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The gates in `folder`, whose sitecustomize.py every process imports as it starts."""
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-p", "no:cacheprovider", str(ROOT / "perf_gates"), *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=220, check=False
    )
