"""Searches for work that grows faster than its input: a dimension of a request is multiplied by four, and so may be the
CPU time of the server's process and of those that it starts. Elapsed time is not measured.

`python -m tests.fuzz.doubling [WORDS]` tries the dimensions whose names begin with one of the words, or all. It prints
a line for each, and its status is 1 if one of them grows faster, takes too long or fails.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from perf_gates.loads.servers import serving
from tests.fuzz.dimensions import DIMENSIONS, Dimension
from tests.support.tiny_model import write_tiny_model

STEP: Final = 4
MAX_GROWTH: Final = 2 * STEP
"""A quadratic dimension grows by 16. Large arrays of tokens cost somewhat more than small ones: up to 7 was seen."""
MIN_SECONDS: Final = 0.2
"""CPU time has a resolution of 0.01 s, and each request takes some of it."""
MAX_SECONDS_PER_100_KB: Final = 2.0
MAX_LOOP_SECONDS: Final = 0.1
"""Of the thread of the event loop, which all requests share."""
ENOUGH_SECONDS: Final = 0.8
MAX_BYTES: Final = 3_000_000
MAX_SIZE: Final = 2**20
_SETTINGS: Final = ("--cache-disk", "0", "--memory-limit", "1GB", "--log-level", "error")
ATTEMPTS: Final = 2
"""The cheaper one counts, where the first would be flagged: a process has other things to do as well."""


class Cost(NamedTuple):
    seconds: float
    loop_seconds: float
    """Of the thread of the event loop."""
    status: int
    """0 where the connection was closed without a reply."""
    num_bytes: int


class Measured:
    def __init__(self, pid: int, port: int) -> None:
        self._process, self._port = psutil.Process(pid), port
        self._salts = (f"{number:06}" for number in itertools.count())

    def cost(self, dimension: Dimension, size: int) -> Cost:
        body = json.dumps({"model": "tiny", **dimension(size, next(self._salts))}).encode()
        seconds, loop_seconds = self._seconds()
        status = self._status(body)
        seconds_after, loop_seconds_after = self._seconds()
        return Cost(seconds_after - seconds, loop_seconds_after - loop_seconds, status, len(body))

    def _seconds(self) -> tuple[float, float]:
        times = self._process.cpu_times()
        loop = next(thread for thread in self._process.threads() if thread.id == self._process.pid)
        total = times.user + times.system + times.children_user + times.children_system
        return total, loop.user_time + loop.system_time

    def _status(self, body: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=900)
        try:
            connection.request("POST", "/v1/messages/count_tokens", body, {"content-type": "application/json"})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return 0
        else:
            return response.status
        finally:
            connection.close()


def costs(measured: Measured, dimension: Dimension) -> dict[int, Cost]:
    """By size, up to where it takes long, or has many bytes."""
    found: dict[int, Cost] = {}
    size = 16
    while size <= MAX_SIZE:
        before = found.get(size // STEP)
        cost = measured.cost(dimension, size)
        for _ in range(1, ATTEMPTS):
            if any(faults(size, before, cost)):
                cost = min(cost, measured.cost(dimension, size))
        found[size] = cost
        if cost.seconds > ENOUGH_SECONDS or STEP * cost.num_bytes > MAX_BYTES:
            break
        size *= STEP
    return found


def faults(size: int, before: Cost | None, cost: Cost) -> Iterator[str]:
    if cost.status >= 500 or not cost.status:
        yield f"status {cost.status} at {size}"
    if cost.seconds < MIN_SECONDS:
        return
    if before is not None and before.status == cost.status and cost.seconds > MAX_GROWTH * max(before.seconds, 0.02):
        yield f"grows by {cost.seconds / max(before.seconds, 0.02):.0f} at {size}"
    if cost.seconds > MAX_SECONDS_PER_100_KB * max(cost.num_bytes / 100_000, 0.2):
        yield f"{cost.seconds:.1f} s for {cost.num_bytes} bytes at {size}"
    if cost.loop_seconds > MAX_LOOP_SECONDS:
        yield f"{cost.loop_seconds:.2f} s of the event loop at {size}"


def found_in(name: str, measured: Measured) -> list[str]:
    by_size = costs(measured, DIMENSIONS[name])
    found = [fault for size, cost in by_size.items() for fault in faults(size, by_size.get(size // STEP), cost)]
    shown = " ".join(f"{size}:{cost.seconds:.2f}s({cost.status})" for size, cost in by_size.items())
    print(f"{'FAULT' if found else 'ok'} {name}: {shown} {'; '.join(found)}", flush=True)  # noqa: T201 - the report
    return found


def main(words: Sequence[str]) -> int:
    names = [name for name in DIMENSIONS if not words or name.startswith(tuple(words))]
    with tempfile.TemporaryDirectory() as folder:
        model = write_tiny_model(Path(folder) / "tiny", vocab_size=49152, max_position_embeddings=2**20)
        with serving("--model", str(model), *_SETTINGS) as server:
            measured = Measured(server.pid, int(server.url.rpartition(":")[2]))
            return int(sum(len(found_in(name, measured)) for name in names) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
