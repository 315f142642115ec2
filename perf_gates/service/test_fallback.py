"""Without a GPU, Pensieve falls back to the CPU within two seconds and prints a notice (G-R1)."""

from __future__ import annotations

import subprocess
import sys

from pensieve.device.device import device_info
from perf_gates.reporting.report import Report

_CODE = """
import time
began = time.perf_counter()
from pensieve.device.device import device_info
info = device_info()
print(time.perf_counter() - began, info.backend)
"""


def test_a_process_without_a_gpu_falls_back_to_the_cpu(report: Report) -> None:
    """Measured in a new process, with the import of MLX and the search for a BLAS."""
    runs = [
        subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, timeout=300, check=True)
        for _ in range(3)
    ]
    seconds, backends = zip(*(run.stdout.split() for run in runs), strict=True)
    if device_info().backend != "cpu":
        report.add_note(f"G-R1a: this machine has a GPU; choosing it took {max(map(float, seconds)):.2f} s.")
        return
    assert set(backends) == {"cpu"}
    assert all("No GPU that MLX can use was found" in run.stderr for run in runs)
    report.judge("G-R1a", max(map(float, seconds)), "(slowest of 3 processes)")
