"""A server under attack, and the client beside it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any, Final

import psutil

from perf_gates.loads.servers import ServerProcess, serving
from tests.chaos.observed import Observed, median_piece, num_tokens, observed, slowest_work
from tests.support.tiny_model import EMBEDDED_VOCABULARY
from tests.support.waiting import wait_until

IS_WHOLE: Final = os.environ.get("PENSIEVE_CHAOS") == "all"
"""Whether the clock decides as well: `tox -e chaos`. Otherwise only facts do that are the same at any speed."""
SLOW_MODEL: Final[Mapping[str, Any]] = {
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "intermediate_size": 2048,
    "head_dim": 64,
    "num_attention_heads": 8,
    "vocab_size": EMBEDDED_VOCABULARY,
}
"""A pass takes about as long as that of a real model, so that the machine's own pauses are short beside it."""
LIMITED: Final = """
import resource, runpy, sys
resource.setrlimit(resource.{resource}, ({number}, {number}))
sys.argv = ["pensieve", *sys.argv[3:]]
runpy.run_module("pensieve", run_name="__main__")
"""
MAX_GAP_RATIO: Final = 3.0
MAX_HEALTH_SECONDS: Final = 1.0
CONTROL_TOKENS: Final = 200
NOTICED_SECONDS: Final = 5.0
"""An attack of this length leaves time for tokens on any machine."""
MIN_TOKENS: Final = 3
OVERLOADED: Final = 529


def limited(resource: str, number: int) -> Sequence[str]:
    """Options of Python that start `pensieve` with a limit of the operating system."""
    return ("-c", LIMITED.format(resource=resource, number=number))


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["error"]["message"])


@dataclass(frozen=True, slots=True)
class Control:
    """The same stream without an attack: the seconds between two tokens, and of a piece of the yardstick's work."""

    median_gap: float
    median_piece: float

    @property
    def num_pieces(self) -> int:
        """What the yardstick does between two tokens."""
        return max(1, round(self.median_gap / self.median_piece))


class Arena:
    def __init__(self, server: ServerProcess, log: Path, seen: Path) -> None:
        self.server, self.log, self._seen, self._yardstick = server, log, seen, seen.with_name("yardstick.txt")
        self.port = int(server.url.rpartition(":")[2])
        self.rows: list[dict[str, Any]] = []
        self._first_control: Control | None = None
        self._process = psutil.Process(server.pid)

    def post(self, body: object, path: str = "/v1/messages", **headers: str) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        with contextlib.closing(connection):
            connection.request("POST", path, data, {"content-type": "application/json", **headers})
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())

    def get(self, path: str, **headers: str) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())

    def post_at_once(self, body: object, times: int, path: str = "/v1/messages") -> list[Reply]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with ThreadPoolExecutor(times) as clients:
            return list(clients.map(lambda _: self.post(data, path), range(times)))

    def post_as_sdks(self, body: object, times: int) -> list[Reply]:
        """Like `post_at_once`; each request is sent again after a 529, when its `retry-after` says so."""
        data = json.dumps(body).encode()

        def send(_: int) -> Reply:
            while (reply := self.post(data)).status == OVERLOADED:
                time.sleep(float(reply.headers["retry-after"]))
            return reply

        with ThreadPoolExecutor(times) as clients:
            return list(clients.map(send, range(times)))

    def wait_for_tokens(self, number: int = MIN_TOKENS) -> None:
        """Return once the bystander has read that many more tokens."""
        before = num_tokens(self._seen)
        wait_until(lambda: num_tokens(self._seen) >= before + number)

    def num_readers(self) -> int:
        """Processes of the server that read PDFs."""
        return sum("extraction.py" in " ".join(child.cmdline()) for child in self._process.children(recursive=True))

    def log_lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    @contextmanager
    def attacked(self, name: str) -> Iterator[None]:
        """The bystander's stream goes on during the block, and after it."""
        control = self._measured_control() if IS_WHOLE else None
        self.wait_for_tokens()
        start = time.monotonic()
        yield
        end = time.monotonic()
        self.wait_for_tokens()
        assert self.get("/health").status == 200
        seen = observed(self._seen, start, end)
        assert seen.errors == 0, f"{seen.errors} streams of another client failed"
        assert len(seen.gaps) >= MIN_TOKENS or seen.seconds < NOTICED_SECONDS, f"no tokens for {seen.seconds:.1f} s"
        if control is not None:
            self._judge(name, seen, start, control)

    def _judge(self, name: str, seen: Observed, start: float, control: Control) -> None:
        """By the time that the yardstick needed meanwhile for what it does between two tokens: it is slowed as well."""
        slowest = slowest_work(self._yardstick, start, start + seen.seconds, control.num_pieces)
        gap, health = seen.max_gap / control.median_gap, max(seen.health, default=0)
        noise = max(1.0, slowest / control.median_gap)
        row = {"attack": name, "seconds": seen.seconds, "gap": gap, "yardstick": noise, "health seconds": health}
        row["median seconds"] = control.median_gap
        self.rows.append(row)
        assert gap <= MAX_GAP_RATIO * noise, f"a gap of {gap:.1f} times the median: {row}"
        assert health <= MAX_HEALTH_SECONDS * noise, f"/health took {health:.2f} s: {row}"

    def _measured_control(self) -> Control:
        """Just before the attack: the longer a stream is, the longer each of its tokens takes."""
        self.wait_for_tokens()
        start = time.monotonic()
        self.wait_for_tokens(CONTROL_TOKENS)
        end = time.monotonic()
        control = Control(observed(self._seen, start, end).median_gap, median_piece(self._yardstick, start, end))
        self._check_pace(control)
        return control

    def _check_pace(self, control: Control) -> None:
        """Nothing that remains of earlier attacks slows the stream down."""
        first = self._first_control = self._first_control or control
        slower = control.median_gap / first.median_gap
        noise = max(1.0, control.median_piece / first.median_piece)
        assert slower <= MAX_GAP_RATIO * noise, f"before the attack, tokens took {slower:.1f} times as long as at first"


def ask(text: str = "Hello", **fields: object) -> dict[str, object]:
    """One that the default model answers with a token."""
    return {"model": "claude-any", "max_tokens": 1, "messages": [{"role": "user", "content": text}], **fields}


@contextmanager
def bystander(what: str, path: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.chaos.bystander", what, str(path)]
    path.touch()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def arena(
    folder: Path,
    model: Path,
    python_options: Sequence[str] = (),
    arguments: Sequence[str] = ("--log-level", "warning"),  # not a line for each request
    stderr: IO[str] | None = None,
) -> Iterator[Arena]:
    log, seen = folder / "server.log", folder / "seen.txt"
    arguments = ("--model", str(model), "--cache-disk", "0", *arguments)
    with (
        log.open("w", encoding="utf-8") as errors,
        serving(*arguments, python_options=python_options, stderr=stderr or errors) as server,
        bystander(server.url.rpartition(":")[2], seen),
        bystander("busy", seen.with_name("yardstick.txt")) if IS_WHOLE else contextlib.nullcontext(),
    ):
        yield Arena(server, log, seen)
