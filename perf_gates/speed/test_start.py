"""Start-up time with a model that is already converted, and the cost of loading alone (G-1.2)."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.servers import serving
from perf_gates.measuring.measures import time_stream
from perf_gates.reporting.report import Report

_LOAD = """
import hashlib, json, re, resource, sys, time
from pathlib import Path
from pensieve.device import blas
blas.preload()
import numpy
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.loading.load import load
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve

folder = resolve(sys.argv[1], progress=ConsoleProgress())
began = time.perf_counter()
for path in folder.path.iterdir():
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
read = time.perf_counter() - began
import_mlx_lm()
began = time.perf_counter()
load(folder)
loaded = time.perf_counter() - began
status = Path("/proc/self/status")  # on Linux ru_maxrss includes the peak of the parent process
found = re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text()) if status.exists() else None
unit = 1 if sys.platform == "darwin" else 1024
peak = int(found[1]) * 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(json.dumps({"read": read, "loaded": loaded, "peak": peak}))
"""


def test_a_server_answers_within_seconds_of_its_start(report: Report, folder: ModelFolder) -> None:
    began = time.perf_counter()
    with serving("--model", str(folder.path), "--cache-memory", "0", "--cache-disk", "0") as server:
        ready = time.perf_counter() - began
        timing = time_stream(server.url, "What is the capital of France?", 2)
    report.add_note(
        f"From the command to the ready line: {ready:.1f} s; to the first token: "
        f"{ready + timing.first_token_seconds:.1f} s."
    )
    report.judge("G-1.2a", ready, "(from the command to the ready line)")


def test_loading_takes_about_as_long_as_reading_the_files(report: Report, folder: ModelFolder) -> None:
    """Loads in a new process, so that peak memory is its own. The first run only fills the file cache."""
    command = [sys.executable, "-c", _LOAD, str(folder.path)]
    for _ in range(2):
        run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    figures = json.loads(run.stdout.splitlines()[-1])
    report.judge("G-1.2b", figures["peak"], "(peak RSS)")
    report.judge("G-1.2c", figures["loaded"] / figures["read"])
