"""Imports mlx-lm without its side effects on the process.

Importing mlx-lm lowers the limit of open files, which an unprivileged process cannot raise again, and fails if the
limit is already lower. On the CPU, compiled functions need a C++ compiler and a folder that every user can write to,
and are not faster.
"""

from __future__ import annotations

import importlib
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from pensieve.core.errors import DeviceError
from pensieve.device.device import device_info
from pensieve.device.mlx_lm.deferred_transformers import transformers_deferred

_lock = threading.Lock()


def import_mlx_lm() -> ModuleType:
    """Import mlx_lm. Afterwards any module may `import mlx_lm.…`.

    Transformers is imported later, when mlx-lm first loads a tokenizer that needs it (`deferred_transformers`).

    Raises:
        DeviceError: MLX or mlx-lm cannot be imported.
    """
    device = device_info()
    with _lock:
        try:
            with _resource_limits_kept(), transformers_deferred():
                mlx_lm = importlib.import_module("mlx_lm")
        except ImportError as error:
            raise DeviceError(f"mlx-lm cannot be imported: {error}") from error
        if device.backend == "cpu":
            import mlx.core as mx  # noqa: PLC0415 - after device_info has loaded a BLAS

            mx.disable_compile()
    return mlx_lm


@contextmanager
def _resource_limits_kept() -> Iterator[None]:
    """Ignore changes of resource limits within the block. Undoing them afterwards would need privileges."""
    set_limit = resource.setrlimit
    resource.setrlimit = _ignore
    try:
        yield
    finally:
        resource.setrlimit = set_limit


def _ignore(*_: Any) -> None:
    """Replaces a function that sets a limit of the process."""
