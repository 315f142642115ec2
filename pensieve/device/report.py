"""Prints the device as JSON: `python -m pensieve.device.report`.

For `pensieve doctor`, which has to survive a driver or library that ends the process at its first use.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pensieve.core.errors import DeviceError
from pensieve.device.blas import has_nvidia_gpu
from pensieve.device.device import device_info, evaluate


def report() -> dict[str, Any]:
    """The device, after a computation on it; or only `error`, if there is none.

    `max_gpu_bytes` is how much memory macOS lets the GPU use, and None elsewhere.
    """
    try:
        device = device_info()
    except DeviceError as error:
        return {"error": str(error)}
    import mlx.core as mx  # noqa: PLC0415 - after the BLAS

    try:
        evaluate(mx)
    except Exception as error:
        return {"error": f"a multiplication on {device.describe()} failed: {error}"}
    facts: dict[str, Any] = mx.device_info()
    return {
        "description": device.describe(),
        "backend": device.backend,
        "memory_bytes": device.total_memory_bytes,
        "blas": device.blas.name,
        "blas_threads": device.blas.threads,
        "blas_remark": device.blas.remark,
        "why_no_gpu": device.why_no_gpu,
        "has_gpu": sys.platform == "darwin" or has_nvidia_gpu(),
        "max_gpu_bytes": facts.get("max_recommended_working_set_size"),
    }


if __name__ == "__main__":
    print(json.dumps(report()))  # noqa: T201 - its output
