"""Scripts of `pensieve serve --script`, and the answers that they play."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from perf_gates.loads.servers import serving
from tests.fuzz.growth.search import Cost, Measure, status_of

_CALL: Final = '<tool_call>\n{"name": "look", "arguments": {"a": 1}}\n</tool_call>\n'
SCRIPTS: Final[Mapping[str, Callable[[int], list[str]]]] = {
    "replies": lambda n: [f"Reply {at}." for at in range(n)],
    "words": lambda n: ["word " * n],
    "a long word": lambda n: ["a" * n],
    "lines": lambda n: ["\n" * n],
    "thinking": lambda n: ["<think>\n" + "word " * n + "\n</think>\n\nDone."],
    "thoughts": lambda n: ["<think>a</think>" * n],
    "begun thoughts": lambda n: ["<think>" * n],
    "calls": lambda n: [_CALL * n],
    "a long argument": lambda n: [_CALL.replace("1", json.dumps("word " * n))],
    "arguments": lambda n: [_CALL.replace('"a": 1', ", ".join(f'"a{at}": {at}' for at in range(n)))],
    "begun calls": lambda n: ["<tool_call>" * n],
    "nested arguments": lambda n: [_CALL.replace("1", "[" * n + "]" * n)],
}


@contextmanager
def scripts(folder: Path) -> Iterator[Mapping[str, Measure]]:
    yield {f"script of {name}": partial(_cost, folder / "script.toml", texts) for name, texts in SCRIPTS.items()}


def _cost(path: Path, texts: Callable[[int], list[str]], size: int) -> Cost:
    """Of the start of the server, and of one answer that is streamed and one that is not."""
    replies = [
        f"[[reply]]\nwhen = {json.dumps(f'number {at}')}\ntext = {json.dumps(text)}\n"
        for at, text in enumerate(texts(size))
    ]
    path.write_text("".join(replies), encoding="utf-8")
    with serving("--script", str(path), "--log-level", "error") as server:
        port = int(server.url.rpartition(":")[2])
        process = psutil.Process(server.pid)
        before = _seconds(process)
        statuses = [_status(port, f"number {len(replies) - 1}", streamed=streamed) for streamed in (True, False)]
        return Cost(
            _seconds(process) - before, 0.0, max(statuses, key=lambda status: status or 600), path.stat().st_size
        )


def _status(port: int, text: str, *, streamed: bool) -> int:
    tool = {"name": "look", "input_schema": {"type": "object"}}
    body = {
        "model": "claude-any",
        "max_tokens": 2**20,
        "stream": streamed,
        "messages": [{"role": "user", "content": text}],
        "tools": [tool],
    }
    return status_of(port, "/v1/messages", json.dumps(body).encode())


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
