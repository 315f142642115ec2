"""MLX reads the files that are written slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest

from pensieve.models.safetensors.file import PlannedTensor, TensorSpec, write_safetensors


def test_mlx_reads_the_written_file(tmp_path: Path) -> None:
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


class Halves:
    """Two tensors that come two rows at a time."""

    def __init__(self, num_slices: int) -> None:
        self.num_slices = num_slices

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        return TensorSpec("low", "F16", (6, 3)), TensorSpec("high", "F32", (6,))

    def slices(self) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        for index in range(self.num_slices):
            yield np.full((2, 3), index, np.float16), np.full(2, -index, np.float32)


def test_tensors_computed_together_are_written_slice_by_slice(tmp_path: Path) -> None:
    reported: list[int] = []
    last = PlannedTensor("last", "F16", (1,), lambda: np.ones(1, np.float16))
    write_safetensors(tmp_path / "model.safetensors", [Halves(3), last], reported.append)
    arrays = mx.load(str(tmp_path / "model.safetensors"))
    assert isinstance(arrays, dict)
    assert arrays["low"].tolist() == [[row] * 3 for row in (0, 0, 1, 1, 2, 2)]
    assert arrays["high"].tolist() == [0, 0, -1, -1, -2, -2]
    assert arrays["last"].tolist() == [1]
    assert reported == [20, 40, 60, 62]


@pytest.mark.parametrize(("num_slices", "num_bytes"), [(2, 24), (4, 48)])
def test_too_few_and_too_many_slices_are_refused(tmp_path: Path, num_slices: int, num_bytes: int) -> None:
    with pytest.raises(ValueError, match=f"low has {num_bytes} bytes where 36 were planned"):
        write_safetensors(tmp_path / "model.safetensors", [Halves(num_slices)])


def test_a_tensor_of_another_size_than_planned_is_refused(tmp_path: Path) -> None:
    planned = PlannedTensor("a", "F16", (3,), lambda: np.ones(2, np.float16))
    with pytest.raises(ValueError, match="a has 4 bytes where 6 were planned"):
        write_safetensors(tmp_path / "model.safetensors", [planned])
