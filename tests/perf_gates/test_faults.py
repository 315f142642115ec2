"""A gate fails and names itself when the server gets the fault that it guards against: pauses in its steps, a leak."""

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
import importlib.abc, importlib.machinery, sys, time

def spoil(module):
    sound, kept, steps = module.Batch.next, [], [0]
    def spoiled(self):
        steps[0] += 1
        began = time.perf_counter()
        result = sound(self)
        {fault}
        return result
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
"""A module that Python imports as it starts, in the server's process as well. It wraps the step of every batch."""
_PAUSE = "time.sleep(20 * (time.perf_counter() - began) if steps[0] % 8 == 0 else 0)"
"""Every eighth step takes as long as twenty, however fast the machine is."""
_LEAK = "kept.append(b'x' * 200_000)"


@pytest.mark.parametrize(
    ("fault", "options", "gate"),
    [
        (_PAUSE, ("-k", "tokens_follow_each_other"), "G-2.2g"),
        (_LEAK, ("-k", "stable_under_load", "--soak-requests", "24"), "G-3.3d"),
    ],
    ids=["pauses in the hot path", "a leak"],
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
    """The gates, run in `folder`, whose sitecustomize.py every process imports as it starts."""
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-p", "no:cacheprovider", str(ROOT / "perf_gates"), *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
