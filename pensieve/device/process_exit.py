"""The end of a process that has used MLX."""

from __future__ import annotations

import logging
import os
import sys

from pensieve.device.device import device_info


def exit_cleanly(status: int) -> int:
    """`status`, for the interpreter to end with.

    Where MLX has run on CUDA the process ends here, with all that it said written out: MLX's threads abort in the
    interpreter's own shutdown, after everything of ours is closed, and whoever supervises the server would take its
    orderly stop for a crash (seen with mlx 0.32.4).
    """
    if "mlx.core" in sys.modules and device_info().backend == "cuda":
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status
