"""Ends a process that has used MLX without a spurious crash."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import NoReturn

from pensieve.device.device import device_info


def exit_cleanly(status: int) -> int:
    """Return `status` for `sys.exit`, or end the process right here if MLX has run on CUDA, after flushing its output.

    On CUDA, MLX's threads abort during the interpreter's own shutdown, and a supervisor would take an orderly stop for
    a crash (seen with mlx 0.32.4).
    """
    if "mlx.core" in sys.modules and device_info().backend == "cuda":
        exit_now(status)
    return status


def exit_now(status: int) -> NoReturn:
    """End the process without waiting for its threads, after flushing its output."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)
