"""Which device MLX runs on, and what it has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import psutil

from pensieve.core.errors import DeviceError
from pensieve.metal.blas import Blas, preload

Backend = Literal["metal", "cuda", "cpu"]

_NAMES = {"metal": "Metal", "cuda": "CUDA", "cpu": "CPU"}
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What MLX runs on.

    `total_memory_bytes` is what models can be held in: a GPU's own memory, or the machine's, or as much of it as the
    process's container allows.
    """

    backend: Backend
    chip: str
    total_memory_bytes: int
    blas: Blas

    def say(self) -> str:
        """One phrase for the startup line: "CPU (MKL 2026.2, 2 threads)", "Metal (Apple M1)"."""
        if self.backend != "cpu":
            return f"{_NAMES[self.backend]} ({self.chip})"
        details = [self.blas.name if self.blas.name != "bundled" else "slow bundled BLAS"]
        if self.blas.threads is not None:
            details.append(f"{self.blas.threads} thread{'s' if self.blas.threads > 1 else ''}")
        return f"CPU ({', '.join([*details, *filter(None, [self.blas.remark])])})"


@cache
def device_info() -> DeviceInfo:
    """Ask MLX about its default device. Imports MLX, with a fast BLAS in front of it.

    Raises:
        DeviceError: MLX cannot be imported, or PENSIEVE_BLAS asks for what is not there.
    """
    blas = preload()
    try:
        import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first
    except ImportError as error:
        raise DeviceError(f"MLX cannot be imported: {error}; on Linux install it as mlx[cpu] or mlx[cuda13]") from error
    backend: Backend = "cpu"
    if mx.default_device() == mx.Device(mx.gpu):
        backend = "metal" if mx.metal.is_available() else "cuda"
    facts: dict[str, Any] = mx.device_info()
    memory = facts.get("memory_size") or facts.get("total_memory") if backend != "cpu" else None
    chip = str(facts.get("device_name") or backend).strip()
    return DeviceInfo(backend, chip, int(memory or _machine_memory_bytes()), blas)


def _machine_memory_bytes() -> int:
    total = psutil.virtual_memory().total
    try:
        return min(total, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no control group, or one with the limit "max"
        return total
