"""Only the model's own weight files are loaded, whatever else lies in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import load
from pensieve.models.safetensors.headers import folder_headers
from pensieve.models.safetensors.shards import missing_weights, stray_weight_files, weight_files
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = write_byte_tokenizer(tmp_path / "tiny")
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def tensors(path: Path) -> dict[str, mx.array]:
    found = mx.load(str(path))
    assert isinstance(found, dict)
    return found


def cut_into_shards(folder: Path) -> None:
    """Replace the single file with two indexed shards."""
    whole = list(tensors(folder / "model.safetensors").items())
    parts = dict(zip(SHARDS, (whole[::2], whole[1::2]), strict=True))
    for name, part in parts.items():
        mx.save_safetensors(str(folder / name), dict(part), {"format": "mlx"})
    (folder / "model.safetensors").unlink()
    weight_map = {tensor: name for name, part in parts.items() for tensor, _ in part}
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def loaded_sum(folder: Path) -> float:
    """The sum of all weights: it changes if one tensor comes from another model."""
    model = load(resolve(str(folder), progress=SilentProgress()))
    flat = tree_flatten(model.model.parameters())
    assert isinstance(flat, list)
    return float(sum(np.abs(np.array(array, dtype=np.float64)).sum() for _, array in flat))


def test_an_index_of_missing_files_is_ignored_beside_a_single_file(tiny: Path) -> None:
    before = loaded_sum(tiny)
    (tiny / INDEX).write_text(json.dumps({"weight_map": {"model.norm.weight": SHARDS[0]}}))
    assert missing_weights(tiny) == []
    assert loaded_sum(tiny) == before


def test_a_stray_file_beside_indexed_shards_is_not_mixed_in(tiny: Path) -> None:
    before, num_headers = loaded_sum(tiny), len(folder_headers("tiny", tiny))
    cut_into_shards(tiny)
    assert loaded_sum(tiny) == before
    write_tiny_model(tiny, tokenizer_folder=tiny, vocab_size=259, seed=1)
    assert [path.name for path in stray_weight_files(tiny)] == ["model.safetensors"]
    assert loaded_sum(tiny) == before
    assert len(folder_headers("tiny", tiny)) == num_headers


def test_leftover_shards_are_not_mixed_into_a_single_file(tiny: Path) -> None:
    cut_into_shards(tiny)
    (tiny / SHARDS[1]).unlink()
    write_tiny_model(tiny, tokenizer_folder=tiny, vocab_size=259, seed=1)
    assert [path.name for path in weight_files(tiny)] == ["model.safetensors"]
    mixed = loaded_sum(tiny)
    (tiny / SHARDS[0]).unlink()
    assert loaded_sum(tiny) == mixed


def test_a_missing_shard_is_named_with_and_without_an_index(tiny: Path) -> None:
    cut_into_shards(tiny)
    (tiny / SHARDS[1]).unlink()
    assert missing_weights(tiny) == [SHARDS[1]]
    (tiny / INDEX).unlink()
    assert missing_weights(tiny) == [SHARDS[1]]
