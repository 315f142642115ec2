"""Repacked weights are the very numbers that GGUF's own reference makes of the blocks."""

from __future__ import annotations

import gguf
import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest
from gguf import GGMLQuantizationType as GgmlType

from pensieve.models.affine_form import Affine
from pensieve.models.gguf_repack import REPACKINGS

ROWS, COLUMNS = 24, 320
every_type = pytest.mark.parametrize("type_name", REPACKINGS)


def unpacked_by_mlx(affine: Affine, type_name: str) -> npt.NDArray[np.float32]:
    """In f32, as the loader does it on the CPU."""
    codes, scales, biases = (mx.array(part) for part in affine)
    repacking = REPACKINGS[type_name]
    weights = mx.dequantize(
        codes, scales.astype(mx.float32), biases.astype(mx.float32), repacking.group_size, repacking.bits
    )
    return np.array(weights)


@every_type
def test_what_was_quantised_is_the_same_to_the_bit(type_name: str) -> None:
    weights = np.random.default_rng(1).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    blocks = gguf.quants.quantize(weights, GgmlType[type_name])
    affine = REPACKINGS[type_name].repack(blocks)
    assert affine.scales.dtype == affine.biases.dtype == REPACKINGS[type_name].parameters
    expected = gguf.quants.dequantize(blocks, GgmlType[type_name])
    assert np.array_equal(unpacked_by_mlx(affine, type_name), expected)


@every_type
def test_any_codes_with_any_scales_are_the_same_to_the_bit(type_name: str) -> None:
    random = np.random.default_rng(2)
    repacking = REPACKINGS[type_name]
    blocks = random.integers(0, 256, (ROWS * COLUMNS // 32, repacking.block_bytes), dtype=np.uint8)
    scales = random.standard_normal((len(blocks), 2)).astype("<f2").view(np.uint8)
    has_bias = type_name.endswith("_1")
    blocks[:, : 4 if has_bias else 2] = scales[:, : 4 if has_bias else 2]
    rows = blocks.reshape(ROWS, -1)
    expected = gguf.quants.dequantize(rows, GgmlType[type_name])
    assert np.array_equal(unpacked_by_mlx(repacking.repack(rows), type_name), expected)


@every_type
@pytest.mark.parametrize("scale", [np.inf, np.nan])
def test_a_scale_that_is_no_number_is_refused(type_name: str, scale: float) -> None:
    rows = np.zeros((1, REPACKINGS[type_name].block_bytes), np.uint8)
    rows[:, :2] = np.array([scale], "<f2").view(np.uint8)
    with pytest.raises(ValueError, match="not a finite number"):
        REPACKINGS[type_name].repack(rows)


def test_a_bias_beyond_its_type_is_refused() -> None:
    rows = np.zeros((1, 34), np.uint8)
    rows[:, :2] = np.array([60000], "<f2").view(np.uint8)
    with pytest.raises(ValueError, match="not a finite number"):
        REPACKINGS["Q8_0"].repack(rows)
