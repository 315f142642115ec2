"""What a growing session writes to disk, compared with what of it is useful afterwards (C2). Counters, no clocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from pensieve.engine.prompt_cache.disk.folder import KV_FOLDER, KVFolder, StoredBlock
from pensieve.engine.prompt_cache.disk.write_budget import WriteBudget
from perf_gates.loads.servers import serving
from perf_gates.loads.shapes import Shape, write_shape
from perf_gates.measuring.measures import LINE
from perf_gates.reporting.report import Report

TURNS: Final = 50
_TINY: Final = Shape("tiny", "", "llama", 64, 128, 2, 4, 2, 16, 1024, 32768, 1e4)
_SYSTEM: Final = LINE * 60
_RESULTS: Final = ("The file is there. ", LINE * 3, LINE * 12, LINE)
"""Of tools, in turn: what an agent reads is now short, now long."""


@pytest.mark.timeout(900)
def test_a_growing_session_writes_little_more_than_its_next_turn_reads(report: Report, tmp_path: Path) -> None:
    """With a restart halfway, a short request aside every fifth turn, and one long request that never comes again."""
    model, home = tmp_path / "model", tmp_path / "home"
    model.mkdir()
    write_shape(model, _TINY)
    messages: list[dict[str, Any]] = []
    for first, last in ((0, TURNS // 2), (TURNS // 2, TURNS)):
        with serving("--model", str(model), environment={"PENSIEVE_HOME": str(home)}) as server:
            for number in range(first, last):
                _turn(server.url, messages, _RESULTS[number % len(_RESULTS)])
                if number % 5 == 0:
                    _aside(server.url, f"Write a title for session {number}.")
            figures = httpx.get(f"{server.url}/health").json()
            _aside(server.url, f"Summarise this. {LINE * 50}" if first else "Good night.")
    assert figures["prompt_tokens"]["from_disk"] > 0, "expected the second half to continue from disk"
    folder = KVFolder(home / KV_FOLDER)
    folder.scan()
    useful = _bytes_of_longest(folder)
    written = _written(home / KV_FOLDER)
    report.judge("G-P3a", written / useful, f"({written / 1000**2:.2f} MB, {useful / 1000**2:.2f} MB of them useful)")


def _turn(url: str, messages: list[dict[str, Any]], result: str) -> None:
    messages.append({"role": "user", "content": f"Turn {len(messages)}: {result}"})
    answer = _post(url, {"system": _SYSTEM, "messages": messages, "max_tokens": 24})
    messages.append({"role": "assistant", "content": answer["content"]})


def _aside(url: str, text: str) -> None:
    _post(url, {"messages": [{"role": "user", "content": text}], "max_tokens": 8})


def _post(url: str, fields: dict[str, Any]) -> dict[str, Any]:
    body = {"model": "claude-any", "temperature": 0, **fields}
    answer: dict[str, Any] = httpx.post(f"{url}/v1/messages", json=body, timeout=300).raise_for_status().json()
    return answer


def _written(folder: Path) -> int:
    """Counted by the servers, and still there after they ended."""
    return WriteBudget(folder).usage().day_bytes


def _bytes_of_longest(folder: KVFolder) -> int:
    """Of the blocks of the longest prompt."""

    def line(block: StoredBlock) -> list[StoredBlock]:
        return [folder.blocks[key] for key in folder.line_of(block.key)]

    longest = max(map(line, folder.blocks.values()), key=lambda blocks: sum(len(each.token_ids) for each in blocks))
    return sum(block.num_bytes for block in longest)
