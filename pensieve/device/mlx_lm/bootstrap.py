"""The one way in which mlx-lm gets into the process: without what it does to the process.

Importing mlx-lm lowers the limit of open files, for good where the process may not raise it again, and fails where the
limit is lower already. Generating with it sets the limit of wired memory, which has been tied to kernel panics. On the
CPU, compiled functions go through a C++ compiler and a folder that every user of the machine can write to, and gain
nothing.
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
    """mlx_lm, harmless. From then on `import mlx_lm.…` anywhere is as good, but for Transformers: mlx-lm gets that when
    it loads a tokenizer of Transformers' for the first time (`deferred_transformers`).

    Raises:
        DeviceError: MLX or mlx-lm cannot be imported.
    """
    device = device_info()
    with _lock:
        try:
            with _limits_left_alone(), transformers_deferred():
                mlx_lm = importlib.import_module("mlx_lm")
                importlib.import_module("mlx_lm.generate")
        except ImportError as error:
            raise DeviceError(f"mlx-lm cannot be imported: {error}") from error
        _never_wire()
        if device.backend == "cpu":
            import mlx.core as mx  # noqa: PLC0415 - device_info has put a BLAS before it

            mx.disable_compile()
    return mlx_lm


@contextmanager
def _limits_left_alone() -> Iterator[None]:
    """Setting a resource limit does nothing meanwhile. Putting it back afterwards would need privileges."""
    set_limit = resource.setrlimit
    resource.setrlimit = _ignore
    try:
        yield
    finally:
        resource.setrlimit = set_limit


def _never_wire() -> None:
    """Take mlx-lm's ways to mx.set_wired_limit away from each of its modules that has one by name."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "mlx_lm":
            if hasattr(module, _WIRING):
                setattr(module, _WIRING, _ignore)
            if hasattr(module, _WIRED):
                setattr(module, _WIRED, _unwired)


def _ignore(*_: Any) -> None:
    """Stands for a function that sets a limit of the process. mlx-lm takes the None as "there was nothing to set"."""


@contextmanager
def _unwired(*_: Any, **__: Any) -> Iterator[None]:
    yield
