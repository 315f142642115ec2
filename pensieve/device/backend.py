"""Finds out whether MLX can really use a GPU, and if not, why (G-R1).

MLX reports a GPU if its driver does, but a broken driver or memory that other processes hold shows only at the first
evaluation. So one is made before the backend is chosen.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Final, Literal

from pensieve.device.blas import has_nvidia_gpu

Backend = Literal["metal", "cuda", "cpu"]
_NAMES: Final = {"metal": "Metal", "cuda": "CUDA"}

GPU_TIMEOUT_SECONDS: Final = 20.0
"""A working GPU answers within two seconds, even if its driver has to wake up."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """`why_no_gpu` is '' if the backend is a GPU."""

    backend: Backend
    why_no_gpu: str = ""


def choose_backend(
    claimed: Backend, evaluate: Callable[[], None], timeout_seconds: float = GPU_TIMEOUT_SECONDS
) -> BackendChoice:
    """The backend that MLX claims if `evaluate` succeeds within the timeout, else the CPU.

    `evaluate` computes something small on MLX's default device and raises if that fails. It runs on its own thread,
    because a driver that hangs cannot be interrupted.
    """
    if claimed == "cpu":
        return BackendChoice("cpu", _why_none())
    failure = _failure(evaluate, timeout_seconds)
    return (
        BackendChoice(claimed)
        if failure is None
        else BackendChoice("cpu", f"{_NAMES[claimed]} is available, but {failure}")
    )


def _failure(evaluate: Callable[[], None], timeout_seconds: float) -> str | None:
    failures: list[str] = ["its first computation did not finish"]

    def attempt() -> None:
        try:
            evaluate()
        except Exception as error:  # MLX raises driver errors as any type
            failures[:] = [f"its first computation failed: {_first_line(error)}"]
        else:
            failures.clear()

    thread = threading.Thread(target=attempt, name="pensieve-gpu-attempt", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    return failures[0] if failures else None


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:200].rstrip(".")


def _why_none() -> str:
    if sys.platform == "darwin":
        return "macOS offers no Metal device, as in most virtual machines"
    names = {(distribution.name or "").lower() for distribution in metadata.distributions()}
    if any(name.startswith("mlx-cuda") for name in names):
        return "MLX is installed for CUDA, but there is no NVIDIA GPU"
    if has_nvidia_gpu():
        return "this MLX is built for the CPU only; to use the NVIDIA GPU, install mlx[cuda13]"
    return "this MLX is built for the CPU only, and there is no NVIDIA GPU"
