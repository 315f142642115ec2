"""A server under memory pressure takes every step against it, reports them, and recovers (G-R2, G-3.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from perf_gates.loads.byte_tokenizer import write_byte_tokenizer
from perf_gates.loads.pressed_server import ask, ask_until, is_refusal, limited_server, press
from tests.support.tiny_model import write_tiny_model

SIZES = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "vocab_size": 259}


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    return write_tiny_model(home / "pressed", tokenizer_folder=write_byte_tokenizer(home / "tokenizer"), **SIZES)


def alerts(health: dict[str, Any]) -> list[str]:
    return [alert["type"] for alert in health["alerts"] if alert["type"] == "high_memory_usage"]


def test_a_server_under_pressure_takes_every_step_and_recovers(model_path: Path) -> None:
    with limited_server(model_path) as (client, memory):
        assert {ask(client, number).status_code for number in range(8)} == {200}
        before = client.get("/health").json()
        assert (before["pressure"]["active"], alerts(before)) == ([], [])
        assert before["reserved"]["stored_prompts_bytes"] > 0

        pressing_arrays = press(memory)
        replies = ask_until(client, lambda health: health["pressure"]["times"]["requests_refused"] > 0)
        pressed = client.get("/health").json()
        assert alerts(pressed) == ["high_memory_usage"]
        assert "requests_refused" in pressed["pressure"]["active"]
        assert pressed["pressure"]["chunk_tokens"] < before["pressure"]["chunk_tokens"]
        assert all(times > 0 for times in pressed["pressure"]["times"].values()), pressed["pressure"]
        refused = [reply for reply in replies if reply.status_code != 200]
        assert 0 < len(refused) < len(replies), "a single request is always accepted"
        assert all(map(is_refusal, refused)), [reply.text for reply in refused]

        del pressing_arrays
        mx.clear_cache()
        ask_until(client, lambda health: health["pressure"]["active"] == [])
        after = client.get("/health").json()
        assert after["pressure"]["chunk_tokens"] == before["pressure"]["chunk_tokens"]
        assert alerts(after) == []
        assert ask(client, 1000).status_code == 200
        assert after["reserved"]["kv_cache_bytes"] == 0
