"""Weights written tensor by tensor are read by mlx."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from pensieve.models.safetensors_file import PlannedTensor, write_safetensors


def test_mlx_reads_what_was_written(tmp_path: Path) -> None:
    packed = np.arange(6, dtype=np.uint32).reshape(2, 3)
    halves = np.array([1.5, -2], np.float16)
    upper_halves = np.array([0x3F80, 0xC000], np.uint16)
    tensors = [
        PlannedTensor("packed", "U32", (2, 3), lambda: packed),
        PlannedTensor("halves", "F16", (2,), lambda: halves),
        PlannedTensor("brains", "BF16", (2,), lambda: upper_halves),
    ]
    write_safetensors(tmp_path / "model.safetensors", tensors)
    arrays = mx.load(str(tmp_path / "model.safetensors"))
    assert isinstance(arrays, dict)
    assert np.array_equal(np.array(arrays["packed"]), packed)
    assert np.array_equal(np.array(arrays["halves"]), halves)
    assert arrays["brains"].dtype == mx.bfloat16
    assert arrays["brains"].tolist() == [1.0, -2.0]


def test_a_tensor_of_another_size_than_planned_is_refused(tmp_path: Path) -> None:
    planned = PlannedTensor("a", "F16", (3,), lambda: np.ones(2, np.float16))
    with pytest.raises(ValueError, match="a has 4 bytes where 6 were planned"):
        write_safetensors(tmp_path / "model.safetensors", [planned])
