"""Gates fail by name when the server has the fault they guard against: pauses between steps, or a leak."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pensieve.models.files.model_folder import ModelFolder

ROOT = Path(__file__).parents[2]
_FAULT = """
import importlib.abc, importlib.machinery, sys, time

def inject(module):
    original, leaked, steps = module.Batch.step, [], [0]
    def faulty(self):
        steps[0] += 1
        began = time.perf_counter()
        result = original(self)
        {fault}
        return result
    module.Batch.step = faulty

class Injector(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "pensieve.engine.batch.batch":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), inject(module))
        return spec

sys.meta_path.insert(0, Injector())
"""
"""A sitecustomize.py, which Python imports at start-up in every process. It wraps the step of every batch."""
_PAUSE = "time.sleep(20 * (time.perf_counter() - began) if steps[0] % 8 == 0 else 0)"
"""Every eighth step takes as long as twenty others, at any speed of the machine."""
_LEAK = "leaked.append(b'x' * 200_000)"


@pytest.mark.parametrize(
    ("fault", "options", "gate"),
    [
        (_PAUSE, ("-k", "tokens_arrive_at_even_intervals"), "G-2.2g"),
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
    """Run the gates with `folder` first on the import path, so that every process imports its sitecustomize.py.

    The servers that they start end with this call, also where it is interrupted.
    """
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-p", "no:cacheprovider", str(ROOT / "perf_gates"), *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True, process_group=0
    ) as gates:
        try:
            output, errors = gates.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(gates.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, gates.returncode, output, errors)
