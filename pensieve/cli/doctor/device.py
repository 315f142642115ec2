"""The device as another process reports it: a broken driver or library may end that process, not this one.

`python -m pensieve.cli.doctor.device` is that process.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any, Final

_TIMEOUT_SECONDS: Final = 120.0
_COMMAND: Final = (sys.executable, "-P", "-m", "pensieve.cli.doctor.device")


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """`error` says why MLX cannot compute here; nothing else is known then. `max_gpu_bytes` is known on a Mac."""

    error: str = ""
    description: str = ""
    backend: str = ""
    memory_bytes: int | None = None
    blas: str = ""
    blas_threads: int | None = None
    blas_remark: str = ""
    why_no_gpu: str = ""
    has_gpu: bool = False
    max_gpu_bytes: int | None = None


def device_report(command: tuple[str, ...] = _COMMAND) -> DeviceReport:
    try:
        ended = subprocess.run(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return DeviceReport(f"the first computation did not finish within {_TIMEOUT_SECONDS:.0f} s")
    if ended.returncode < 0:
        return DeviceReport(f"MLX was ended by {signal.Signals(-ended.returncode).name} at its first computation")
    try:
        facts: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return DeviceReport(_last_line(ended.stderr) or f"MLX ended with exit status {ended.returncode}")
    return DeviceReport(**facts)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _own_report() -> DeviceReport:
    from pensieve.core.errors import DeviceError  # noqa: PLC0415 - only in the other process
    from pensieve.device.blas import has_nvidia_gpu  # noqa: PLC0415
    from pensieve.device.device import device_info, try_device  # noqa: PLC0415

    try:
        device = device_info()
        try_device()
    except DeviceError as error:
        return DeviceReport(str(error))
    return DeviceReport(
        description=device.describe(),
        backend=device.backend,
        memory_bytes=device.total_memory_bytes,
        blas=device.blas.name,
        blas_threads=device.blas.threads,
        blas_remark=device.blas.remark,
        why_no_gpu=device.why_no_gpu,
        has_gpu=sys.platform == "darwin" or has_nvidia_gpu(),
        max_gpu_bytes=device.max_gpu_bytes,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(_own_report())))
