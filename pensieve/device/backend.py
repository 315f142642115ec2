"""Whether there is a GPU that MLX can really use, and why not where there is none (G-R1).

MLX reports a GPU by its driver's word. Whether it computes is known when it has: a broken driver, or memory that others
hold, shows at the first evaluation. So one is made before anything is built upon it.
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

PATIENCE_SECONDS: Final = 20.0
"""A GPU that answers at all does so in two; its driver may have to be woken."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """`why_no_gpu` is '' where there is one."""

    backend: Backend
    why_no_gpu: str = ""


def choose_backend(
    claimed: Backend, evaluate: Callable[[], None], patience_seconds: float = PATIENCE_SECONDS
) -> BackendChoice:
    """What MLX claims, if `evaluate` succeeds within the time; else the CPU.

    `evaluate` computes something small on MLX's default device, and raises if that fails. It is called on a thread of
    its own: a driver that hangs cannot be stopped, only left.
    """
    if claimed == "cpu":
        return BackendChoice("cpu", _why_none())
    failure = _failure(evaluate, patience_seconds)
    return (
        BackendChoice(claimed)
        if failure is None
        else BackendChoice("cpu", f"{_NAMES[claimed]} is there, but {failure}")
    )


def _failure(evaluate: Callable[[], None], patience_seconds: float) -> str | None:
    failures: list[str] = ["its first computation did not end"]

    def attempt() -> None:
        try:
            evaluate()
        except Exception as error:  # MLX raises what its driver says, as any type
            failures[:] = [f"its first computation failed: {_first_line(error)}"]
        else:
            failures.clear()

    thread = threading.Thread(target=attempt, name="pensieve-gpu-attempt", daemon=True)
    thread.start()
    thread.join(patience_seconds)
    return failures[0] if failures else None


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:200].rstrip(".")


def _why_none() -> str:
    if sys.platform == "darwin":
        return "macOS offers no Metal device here, as in most virtual machines"
    names = {(distribution.name or "").lower() for distribution in metadata.distributions()}
    if any(name.startswith("mlx-cuda") for name in names):
        return "MLX is installed for CUDA, and there is no NVIDIA GPU"
    if has_nvidia_gpu():
        return "this MLX is built for the CPU alone; for the NVIDIA GPU that is here install mlx[cuda13]"
    return "this MLX is built for the CPU alone, and no NVIDIA GPU is here"
