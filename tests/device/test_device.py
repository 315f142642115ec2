"""The description of the device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pensieve.device import device
from pensieve.device.blas import Blas
from pensieve.device.device import DeviceInfo, device_info


def test_the_device_has_a_name_and_memory() -> None:
    info = device_info()
    assert info.backend in {"metal", "cuda", "cpu"}
    assert info.chip
    assert info.total_memory_bytes > 2**30


def test_the_device_is_determined_once() -> None:
    assert device_info() is device_info()


@pytest.mark.parametrize(
    ("info", "phrase"),
    [
        (DeviceInfo("cpu", "EPYC", 1, Blas("MKL 2026.2", Path("x"), 2)), "CPU (MKL 2026.2, 2 threads)"),
        (DeviceInfo("cpu", "EPYC", 1, Blas("bundled", None, 1, "no MKL")), "CPU (slow bundled BLAS, 1 thread, no MKL)"),
        (DeviceInfo("cpu", "M1", 1, Blas("Accelerate", None, None)), "CPU (Accelerate)"),
        (DeviceInfo("metal", "Apple M1", 1, Blas("Accelerate", None, None)), "Metal (Apple M1)"),
        (DeviceInfo("cuda", "NVIDIA H200", 1, Blas("bundled", None, None)), "CUDA (NVIDIA H200)"),
    ],
)
def test_a_device_is_described_in_one_phrase(info: DeviceInfo, phrase: str) -> None:
    assert info.describe() == phrase


@pytest.mark.parametrize(("limit", "expected"), [("1073741824\n", 2**30), ("max\n", psutil.virtual_memory().total)])
def test_the_limit_of_a_container_bounds_the_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, expected: int
) -> None:
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(device, "CGROUP_LIMIT", tmp_path / "memory.max")
    assert device.machine_memory_bytes() == expected


def test_a_process_without_a_gpu_logs_the_reason_once() -> None:
    if device_info().backend != "cpu":
        pytest.skip("there is a GPU")
    code = "from pensieve.device.device import device_info; device_info(); device_info()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert ended.stderr.count("No GPU that MLX can use was found (") == 1
    assert ended.stderr.rstrip().endswith("running on the CPU, which is slow")
