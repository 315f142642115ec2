"""Searches for work that grows faster than its input: a dimension is multiplied by four, and so may be the CPU time.
Elapsed time is not measured.

`python -m tests.fuzz.doubling [WORDS]` tries the dimensions whose names begin with one of the words, or all: those of
requests, of schemas as grammars, of HTTP/2, of model files, of templates and of scripts. It prints a line for each, and
its status is 1 if one of them grows faster, takes too long or fails.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from perf_gates.loads.servers import serving
from tests.fuzz.dimensions import DIMENSIONS, Dimension
from tests.fuzz.growth.grammars import grammars
from tests.fuzz.growth.http_2 import FRAMES, PlayedServer
from tests.fuzz.growth.model_files import model_files
from tests.fuzz.growth.scripts import scripts
from tests.fuzz.growth.search import Cost, Measure, found_in, status_of
from tests.fuzz.growth.templates import templates
from tests.support.tiny_model import write_tiny_model

_SETTINGS: Final = ("--cache-disk", "0", "--memory-limit", "1GB", "--log-level", "error")


class Measured:
    def __init__(self, pid: int, port: int) -> None:
        self._process, self._port = psutil.Process(pid), port
        self._salts = (f"{number:06}" for number in itertools.count())

    def cost(self, dimension: Dimension, size: int) -> Cost:
        body = json.dumps({"model": "tiny", **dimension(size, next(self._salts))}).encode()
        seconds, loop_seconds = self._seconds()
        status = status_of(self._port, "/v1/messages/count_tokens", body)
        seconds_after, loop_seconds_after = self._seconds()
        return Cost(seconds_after - seconds, loop_seconds_after - loop_seconds, status, len(body))

    def _seconds(self) -> tuple[float, float]:
        times = self._process.cpu_times()
        loop = next(thread for thread in self._process.threads() if thread.id == self._process.pid)
        total = times.user + times.system + times.children_user + times.children_system
        return total, loop.user_time + loop.system_time


@contextmanager
def _requests(folder: Path) -> Iterator[Mapping[str, Measure]]:
    model = write_tiny_model(folder / "tiny", vocab_size=49152, max_position_embeddings=2**20)
    with serving("--model", str(model), *_SETTINGS) as server:
        measured = Measured(server.pid, int(server.url.rpartition(":")[2]))
        yield {name: partial(measured.cost, dimension) for name, dimension in DIMENSIONS.items()}


@contextmanager
def _http_2(folder: Path) -> Iterator[Mapping[str, Measure]]:
    with PlayedServer.started(folder) as server:
        yield {f"HTTP/2 with {name}": partial(server.cost, frames) for name, frames in FRAMES.items()}


SEARCHES: Final = (templates, model_files, grammars, scripts, _http_2, _requests)
"""Files before grammars: a forked process can only load a model if its parent has loaded none."""


def main(words: Sequence[str]) -> int:
    logging.disable(logging.CRITICAL)
    num_faults = 0
    for search in SEARCHES:
        with tempfile.TemporaryDirectory() as folder, search(Path(folder)) as measures:
            names = [name for name in measures if not words or name.startswith(tuple(words))]
            num_faults += sum(len(found_in(name, measures[name])) for name in names)
    return int(num_faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
