"""The context window is read from config.json in one way, for the server and for `pensieve fit`."""

from __future__ import annotations

from typing import Any

import pytest

from pensieve.models.estimate.footprint import footprint
from pensieve.models.loading.config import context_window_tokens


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"max_position_embeddings": 512}, 512),
        ({"text_config": {"n_positions": 256}}, 256),
        ({"seq_length": 128, "text_config": {"max_position_embeddings": 256}}, 128),
        ({"max_seq_len": 0, "seq_length": True, "n_positions": 64}, 64),
        ({"max_position_embeddings": None, "text_config": None}, None),
    ],
)
def test_the_models_own_window_comes_before_its_text_parts(config: dict[str, Any], window: int | None) -> None:
    assert context_window_tokens(config) == window
    assert footprint({"model_type": "llama", **config}, [], dense=False).window_tokens == window
