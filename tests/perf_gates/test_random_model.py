"""Models of today's kinds with random weights are packed, load, and compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import pytest

from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import load
from perf_gates.loads.random_model import config_of, write_random_model

_COMMON: Final = {
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 512,
}
_SMALL: Final[dict[str, dict[str, Any]]] = {
    "qwen3.5-9b": {
        "num_hidden_layers": 4,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
    },
    "gpt-oss-20b": {"num_hidden_layers": 2, "num_local_experts": 4, "num_experts_per_tok": 2},
}


@pytest.mark.parametrize("name", _SMALL)
def test_a_small_one_of_each_kind_loads_and_computes(name: str, tmp_path: Path) -> None:
    config = config_of(name, **_COMMON, **_SMALL[name])
    write_random_model(tmp_path, config)
    assert (tmp_path / "model.safetensors").stat().st_size < 2_000_000, "packed in 4 bits"
    model = load(resolve(str(tmp_path), progress=ConsoleProgress()))
    logits = model.model(mx.array([[7, 8, 9]]))
    assert logits.shape == (1, 3, 512)
    assert bool(mx.all(mx.isfinite(logits)))
