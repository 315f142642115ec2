"""Makes one thing four times as large, again and again, and says where its cost grows faster."""

from __future__ import annotations

import http.client
import os
import resource
import signal
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

STEP: Final = 4
MAX_GROWTH: Final = 2 * STEP
"""A quadratic dimension grows by 16. Large arrays of tokens cost somewhat more than small ones: up to 7 was seen."""
MIN_SECONDS: Final = 0.2
"""CPU time has a resolution of 0.01 s, and each request takes some of it."""
MAX_SECONDS_PER_100_KB: Final = 2.0
MAX_LOOP_SECONDS: Final = 0.1
ENOUGH_SECONDS: Final = 0.8
MAX_BYTES: Final = 3_000_000
MAX_SIZE: Final = 2**20
ATTEMPTS: Final = 2
"""The cheaper one counts, where the first would be flagged: a process has other things to do as well."""
_CPU_SECONDS: Final = 60
"""A chat template may take 40 s."""
_MEMORY_BYTES: Final = 3_000_000_000
OK: Final = 200
REFUSED: Final = 400
FAILED: Final = 500


class Cost(NamedTuple):
    """Of one size, in seconds of CPU."""

    seconds: float
    loop_seconds: float
    """Of what all clients share at once: the thread of the event loop, or a step of the MLX thread."""
    status: int
    """0 where the work ended without a result, or the connection without a reply."""
    num_bytes: int


Measure = Callable[[int], Cost]


def status_of(port: int, path: str, body: bytes) -> int:
    """Of a server's reply, once all of it has been read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=900)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return response.status
    finally:
        connection.close()


def costs(measure: Measure) -> dict[int, Cost]:
    """By size, up to where it takes long, or has many bytes."""
    found: dict[int, Cost] = {}
    size = 16
    while size <= MAX_SIZE:
        before = found.get(size // STEP)
        cost = measure(size)
        for _ in range(1, ATTEMPTS):
            if cost.status and any(faults(size, before, cost)):
                cost = min(cost, measure(size))
        found[size] = cost
        if not cost.status or cost.seconds > ENOUGH_SECONDS or STEP * cost.num_bytes > MAX_BYTES:
            break
        size *= STEP
    return found


def faults(size: int, before: Cost | None, cost: Cost) -> Iterator[str]:
    if cost.status >= 500 or not cost.status:
        yield f"status {cost.status} at {size}"
    if cost.loop_seconds > MAX_LOOP_SECONDS:
        yield f"{cost.loop_seconds:.2f} s at once at {size}"
    if cost.seconds < MIN_SECONDS:
        return
    if before is not None and before.status == cost.status and cost.seconds > MAX_GROWTH * max(before.seconds, 0.02):
        yield f"grows by {cost.seconds / max(before.seconds, 0.02):.0f} at {size}"
    if cost.seconds > MAX_SECONDS_PER_100_KB * max(cost.num_bytes / 100_000, 0.2):
        yield f"{cost.seconds:.1f} s for {cost.num_bytes} bytes at {size}"


def found_in(name: str, measure: Measure) -> list[str]:
    by_size = costs(measure)
    found = [fault for size, cost in by_size.items() for fault in faults(size, by_size.get(size // STEP), cost)]
    shown = " ".join(f"{size}:{cost.seconds:.2f}s({cost.status})" for size, cost in by_size.items())
    print(f"{'FAULT' if found else 'ok'} {name}: {shown} {'; '.join(found)}", flush=True)  # noqa: T201 - the report
    return found


def isolated(work: Callable[[], Cost]) -> Cost:
    """What `work` returns in a process of its own, which ends at a limit of CPU time or memory."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        _work_and_exit(work, writer)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    if not text:
        return Cost(float(_CPU_SECONDS), 0.0, 0, 0)
    seconds, loop_seconds, status, num_bytes = text.split()
    return Cost(float(seconds), float(loop_seconds), int(status), int(num_bytes))


def _work_and_exit(work: Callable[[], Cost], writer: int) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + _CPU_SECONDS, int(used) + _CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    try:
        os.write(writer, " ".join(map(str, work())).encode())
    finally:
        os._exit(0)
