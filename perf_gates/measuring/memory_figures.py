"""The memory of one server under one load, measured three ways, beside what its ledger promised (S7).

memray slows a server down and takes memory itself, so it gets a run of its own: RSS, MLX's figure and the ledger's are
of a server without it. Each run is a fresh server, since peaks are for the life of a process.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    """Bytes, each the most there was at once. `ledger` is what was promised, the others what was measured.

    `mx` and `memray` each miss a part of the process: MLX counts its own arrays, and memray no pages of libraries.
    """

    limit: int
    ledger: int
    memray: int
    mx: int
    rss: int
    kv_not_given_back: int

    @property
    def largest(self) -> int:
        """The one that counts. A GPU's memory is known to MLX alone."""
        return max(self.memray, self.mx, self.rss) if device_info().backend == "cpu" else self.mx

    @property
    def ledger_error_percent(self) -> float:
        """How far the ledger was from it, on either side."""
        return 100 * abs(self.ledger / self.largest - 1)

    def as_row(self, title: str) -> str:
        """A line of the table that `HEAD` begins, in MB."""
        cells = [self.limit, self.ledger, self.memray, self.mx, self.rss]
        return (
            f"| {title} | {' | '.join(f'{cell / 1e6:.0f}' for cell in cells)} | {self.ledger / self.largest - 1:+.1%} |"
        )


HEAD = "| MB at the peak | limit | ledger | memray | mx | RSS | ledger to the largest |\n|---|---|---|---|---|---|---|"


def measured(load: MemoryWorkload, folder: Path, *arguments: str) -> MemoryFigures:
    """`load` on two fresh servers with these arguments; `folder` is for memray's file."""
    memray = _measured_by_memray(load, folder / "memray.bin", arguments)
    with serving(*arguments) as server:
        load(server.url)
        return _figures(server, memray=memray)


def _measured_by_memray(load: MemoryWorkload, file: Path, arguments: Sequence[str]) -> int:
    """0 with CUDA: memory there is no affair of the allocators that memray watches, and a server ends without leaving
    them the time to write (`pensieve.device.process_exit`).
    """
    if device_info().backend == "cuda":
        return 0
    with _serving_under_memray(file, *arguments) as url:
        load(url)
    return int(FileReader(str(file)).metadata.peak_memory)


def _figures(server: ServerProcess, *, memray: int) -> MemoryFigures:
    health = _settled(server.url)
    return MemoryFigures(
        limit=health["memory"]["capacity_bytes"],
        ledger=health["reserved_peak_bytes"],
        memray=memray,
        mx=health["memory"]["peak_bytes"],
        rss=server.peak_resident_bytes(),
        kv_not_given_back=health["reserved"]["kv_cache_bytes"] + health["memory"]["kv_cache_bytes"],
    )


def _settled(url: str) -> dict[str, Any]:
    """What it says of itself once nothing runs: a request that somebody left ends a step later."""
    health: dict[str, Any] = {}
    for _ in range(100):
        health = httpx.get(f"{url}/health", timeout=300).json()
        if not health["requests"]["active"] and not health["reserved"]["kv_cache_bytes"]:
            break
    return health


@contextmanager
def _serving_under_memray(file: Path, *arguments: str) -> Iterator[str]:
    """The URL of a server that memray watches; the file is whole when the block has ended."""
    command = [sys.executable, "-m", "memray", "run", "--quiet", "--aggregate", "--output", str(file)]
    command += ["-m", "pensieve", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None, "the server did not start under memray"
        try:
            yield found[0]
        finally:
            process.terminate()
            process.wait(300)
