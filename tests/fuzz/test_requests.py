"""No request makes the server fail, hang or grow: some hundred in CI, `--requests N` in `tox -e fuzz`."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Final

import pytest

from perf_gates.loads.byte_tokenizer import write_byte_tokenizer
from perf_gates.loads.servers import ServerProcess, serving
from tests.fuzz.minimal import minimal
from tests.fuzz.requests import Request, request
from tests.fuzz.wire import problem, sent
from tests.support.tiny_model import write_tiny_model

MAX_FAILURES: Final = 20
WARM_REQUESTS: Final = 5000
"""By then all caches are full, and memory may not grow any more."""
MAX_GROWTH: Final = 1.1
NOTED_REQUESTS: Final = 500
_LIMITS: Final = ("--memory-limit", "1GB", "--cache-memory", "20MB", "--cache-disk", "0", "--checked")

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A model this small gains nothing from more, and threads wait for each other on a busy machine."""


class Findings:
    """The numbers of requests that failed, each way of failing once."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self._log = port, log
        self.found: dict[str, str] = {}

    def judge(self, number: int, item: Request) -> None:
        complaint = self._complaint(item)
        if complaint is None:
            return
        kind = complaint[:100]
        if kind not in self.found:
            smallest = self._minimal(item, kind)
            self.found[kind] = f"request {number}: {item.method} {item.path} {item.headers}: {complaint}: {smallest}"
            print(self.found[kind], flush=True)  # noqa: T201 - a long run is watched

    def _complaint(self, item: Request) -> str | None:
        try:
            complaint = problem(item, sent(self.port, item))
        except TimeoutError:
            return "no reply in time"
        return f"{self._last_error()}: {complaint}" if complaint else None

    def _last_error(self) -> str:
        """The error that the server logged last: what tells two internal errors apart."""
        lines = self._log.read_text(encoding="utf-8", errors="replace")[-4000:].splitlines()
        return next((line.strip() for line in reversed(lines) if re.match(r"    \S", line)), "")  # ends a traceback

    def _minimal(self, item: Request, kind: str) -> str:
        if item.value is None:
            return repr(item.body[:2000])
        fails = lambda value: (self._complaint(item.with_value(value)) or "").startswith(kind)  # noqa: E731
        return json.dumps(minimal(item.value, fails))[:2000]


@pytest.mark.timeout(0)
def test_no_request_makes_the_server_fail_hang_or_grow(tmp_path: Path, num_requests: int, first: int) -> None:
    tokenizer = write_byte_tokenizer(tmp_path / "tokenizer")
    model = write_tiny_model(
        tmp_path / "tiny", tokenizer_folder=tokenizer, vocab_size=512, max_position_embeddings=8192
    )
    with (
        (tmp_path / "log.txt").open("w", encoding="utf-8") as log,
        serving("--model", str(model), "--log-format", "text", *_LIMITS, environment=_ONE_THREAD, stderr=log) as server,
    ):
        findings = Findings(int(server.url.rpartition(":")[2]), tmp_path / "log.txt")
        began, resident = time.monotonic(), 0
        for number in range(first, first + num_requests):
            findings.judge(number, request(number))
            assert len(findings.found) < MAX_FAILURES, "\n".join(findings.found.values())
            if number % NOTED_REQUESTS == 0:
                is_warm = number - first >= WARM_REQUESTS
                now = _note_progress(server, number, began)
                resident = resident or (now if is_warm else 0)
        assert server.is_running()
        grown = server.resident_bytes()
    assert not findings.found, "\n".join(findings.found.values())
    assert not resident or grown < MAX_GROWTH * resident, f"grew from {resident} to {grown} bytes"


def _note_progress(server: ServerProcess, number: int, began: float) -> int:
    """Print how far the run is, and return the server's resident bytes."""
    now, seconds = server.resident_bytes(), time.monotonic() - began
    print(f"{number} requests, {seconds:.0f} s, {now / 1e6:.0f} MB, {server.open_files()} files", flush=True)  # noqa: T201
    return now
