"""The device that MLX runs on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from pensieve.core.errors import DeviceError
from pensieve.device import cuda_settings
from pensieve.device.backend import Backend, choose_backend
from pensieve.device.blas import Blas, preload
from pensieve.device.missing_mlx import cannot_import

__all__ = ["Backend", "DeviceInfo", "device_info"]

log = logging.getLogger(__name__)

_NAMES = {"metal": "Metal", "cuda": "CUDA", "cpu": "CPU"}
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """`total_memory_bytes` is the memory for models: the GPU's own, or the machine's, or the limit of the container.
    `why_no_gpu` says why MLX runs on the CPU, or is ''. `max_gpu_bytes` is how much memory macOS lets the GPU use;
    None elsewhere.
    """

    backend: Backend
    chip: str
    total_memory_bytes: int
    blas: Blas
    why_no_gpu: str = ""
    max_gpu_bytes: int | None = None

    def describe(self) -> str:
        """A phrase for the startup line, such as "CPU (MKL 2026.2, 2 threads)" or "Metal (Apple M1)"."""
        if self.backend != "cpu":
            return f"{_NAMES[self.backend]} ({self.chip})"
        details = [self.blas.name if self.blas.name != "bundled" else "slow bundled BLAS"]
        if self.blas.threads is not None:
            details.append(f"{self.blas.threads} thread{'s' if self.blas.threads > 1 else ''}")
        return f"CPU ({', '.join([*details, *filter(None, [self.blas.remark])])})"


@cache
def device_info() -> DeviceInfo:
    """The device that MLX computes on. Imports MLX, after a fast BLAS.

    Falls back to the CPU if no GPU works, and logs that once (G-R1).

    Raises:
        DeviceError: MLX cannot be imported, or PENSIEVE_BLAS selects a library that is missing.
    """
    blas = preload()
    cuda_settings.apply_defaults()
    try:
        import mlx.core as mx  # noqa: PLC0415 - after the BLAS
    except ImportError as error:
        raise DeviceError(cannot_import(error)) from error
    choice = choose_backend(_claimed(mx), lambda: evaluate(mx))
    if choice.why_no_gpu:
        mx.set_default_device(mx.cpu)
        log.warning("No GPU that MLX can use was found (%s): running on the CPU, which is slow", choice.why_no_gpu)
    facts: dict[str, Any] = mx.device_info()
    on_gpu = choice.backend != "cpu"
    memory = facts.get("memory_size") or facts.get("total_memory") if on_gpu else None
    chip = str(facts.get("device_name") or choice.backend).strip()
    allowed = facts.get("max_recommended_working_set_size")
    return DeviceInfo(choice.backend, chip, int(memory or machine_memory_bytes()), blas, choice.why_no_gpu, allowed)


def try_device() -> None:
    """Compute something small on the device.

    Raises:
        DeviceError: the device failed.
    """
    device = device_info()
    import mlx.core as mx  # noqa: PLC0415 - after the BLAS

    try:
        evaluate(mx)
    except Exception as error:
        raise DeviceError(f"a multiplication on {device.describe()} failed: {error}") from error


def _claimed(mx: Any) -> Backend:
    if mx.default_device() != mx.Device(mx.gpu):
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def evaluate(mx: Any) -> None:
    """Multiply matrices, which needs more from the device than memory.

    Raises:
        Exception: the device failed; MLX raises any type.
    """
    square = mx.ones((8, 8))
    if float((square @ square).sum().item()) != 512:
        raise ArithmeticError("its result is wrong")


def machine_memory_bytes() -> int:
    total = psutil.virtual_memory().total
    try:
        return min(total, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no control group, or one without a limit ("max")
        return total
