"""Measures a server's peak memory in three ways and compares it with what its ledger reserved (S7).

memray slows a server down and uses memory itself, so it gets a run of its own. RSS, MLX's figure and the ledger's come
from a server without memray. Each run starts a new server, because peaks are kept for the life of a process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from memray import FileReader

from pensieve.device.device import device_info
from perf_gates.loads.servers import ServerProcess, serving

MemoryWorkload = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """Peaks in bytes. `ledger` is what was reserved, the others are measurements.

    `mx` and `memray` each miss a part of the process: MLX counts only its own arrays, and memray ignores library pages.
    """

    limit: int
    ledger: int
    memray: int
    mx: int
    rss: int
    kv_not_released: int

    @property
    def largest(self) -> int:
        """The measurement that gates use. On a GPU only MLX knows it."""
        return max(self.memray, self.mx, self.rss) if device_info().backend == "cpu" else self.mx

    @property
    def ledger_error_percent(self) -> float:
        """The distance of the ledger's peak from `largest`, in either direction."""
        return 100 * abs(self.ledger / self.largest - 1)

    def as_row(self, title: str) -> str:
        """A row of the table with the header `HEAD`, in MB."""
        cells = [self.limit, self.ledger, self.memray, self.mx, self.rss]
        return (
            f"| {title} | {' | '.join(f'{cell / 1e6:.0f}' for cell in cells)} | {self.ledger / self.largest - 1:+.1%} |"
        )


HEAD = "| MB at the peak | limit | ledger | memray | mx | RSS | ledger to the largest |\n|---|---|---|---|---|---|---|"


def measure_memory(load: MemoryWorkload, folder: Path, *arguments: str) -> MemoryFigures:
    """Run `load` on two new servers with these arguments. memray writes its file into `folder`."""
    memray = _peak_by_memray(load, folder / "memray.bin", arguments)
    with serving(*arguments) as server:
        load(server.url)
        return _figures(server, memray=memray)


def _peak_by_memray(load: MemoryWorkload, file: Path, arguments: Sequence[str]) -> int:
    """0 with CUDA, where memray does not see the device's allocations and the server exits before memray can write its
    file (`pensieve.device.process_exit`).
    """
    if device_info().backend == "cuda":
        return 0
    memray = ("-m", "memray", "run", "--quiet", "--aggregate", "--output", str(file))
    with serving(*arguments, python_options=memray) as server:
        load(server.url)
    return int(FileReader(str(file)).metadata.peak_memory)


def _figures(server: ServerProcess, *, memray: int) -> MemoryFigures:
    health = _idle_health(server.url)
    return MemoryFigures(
        limit=health["memory"]["capacity_bytes"],
        ledger=health["reserved_peak_bytes"],
        memray=memray,
        mx=health["memory"]["peak_bytes"],
        rss=server.peak_resident_bytes(),
        kv_not_released=health["reserved"]["kv_cache_bytes"] + health["memory"]["kv_cache_bytes"],
    )


def _idle_health(url: str) -> dict[str, Any]:
    """/health after the last request has ended: one whose client disconnected ends a step later."""
    health: dict[str, Any] = {}
    for _ in range(100):
        health = httpx.get(f"{url}/health", timeout=300).json()
        if not health["requests"]["active"] and not health["reserved"]["kv_cache_bytes"]:
            break
    return health
