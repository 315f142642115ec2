"""Imports mlx-lm without its side effects on the process.

Importing mlx-lm lowers the limit of open files, which an unprivileged process cannot raise again, and fails if the
limit is already lower. Generation sets the limit of wired memory, which has been linked to kernel panics. On the CPU,
compiled functions need a C++ compiler and a folder that every user can write to, and are not faster.
"""

from __future__ import annotations

import importlib
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from pensieve.core.errors import DeviceError
from pensieve.device.device import device_info
from pensieve.device.mlx_lm.deferred_transformers import transformers_deferred

_WIRING: Final = "maybe_set_recommended_wired_limit"
_WIRED: Final = "wired_limit"
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
                importlib.import_module("mlx_lm.generate")
        except ImportError as error:
            raise DeviceError(f"mlx-lm cannot be imported: {error}") from error
        _never_wire()
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


def _never_wire() -> None:
    """Replace the functions that call mx.set_wired_limit, in every module of mlx-lm that has imported them."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "mlx_lm":
            if hasattr(module, _WIRING):
                setattr(module, _WIRING, _ignore)
            if hasattr(module, _WIRED):
                setattr(module, _WIRED, _unwired)


def _ignore(*_: Any) -> None:
    """Replaces a function that sets a process limit. mlx-lm takes None to mean that nothing was set."""


@contextmanager
def _unwired(*_: Any, **__: Any) -> Iterator[None]:
    yield
