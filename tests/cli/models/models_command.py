"""Runs `pensieve models` against the test hub of `conftest.hub`."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import pytest

from pensieve.cli.main import main
from pensieve.models.library.aliases import curated_models

PINNED = curated_models()[0]
"""The model of the aliases `coder-8gb` and `coder-16gb-fast`. The test hub has a tiny model at this revision, and
another one on main.
"""
UNPINNED = next(model for model in curated_models() if model.revision is None)


class ModelsCommand:
    """Runs `pensieve models` and returns its output: stdout after success, else stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *arguments: str, status: int = 0) -> str:
        assert main(["models", *arguments]) == status, self._capsys.readouterr()
        captured = self._capsys.readouterr()
        return captured.err if status else captured.out

    def names(self) -> list[str]:
        return [entry["name"] for entry in json.loads(self.run("list", "--json"))]


def write_adapter(folder: Path) -> Path:
    """A LoRA adapter of rank 1 on one projection of the last layer."""
    folder.mkdir()
    at = "model.layers.1.self_attn.q_proj"
    weights = {f"{at}.lora_a": mx.ones((64, 1)), f"{at}.lora_b": mx.ones((1, 64))}
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    parameters = {"rank": 1, "scale": 1.0, "dropout": 0.0, "keys": ["self_attn.q_proj"]}
    config = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
