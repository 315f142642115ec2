"""Repacked weights equal those of GGUF's reference implementation, or differ by no more than the documented error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest

from pensieve.models.gguf.weights.affine import AffineMatrix, pack_codes
from pensieve.models.gguf.weights.repack import REPACKINGS
from tests.models.gguf.llama_files import QUANTIZED_TYPES, SIMPLE_TYPES, dequantized, quantized

ROWS, COLUMNS = 24, 1280
EXACT: Final = (*SIMPLE_TYPES, "Q4_K", "Q5_K")
ROUNDED: Final = ("Q2_K", "Q3_K", "Q6_K")
EIGHT_BIT_ERROR: Final = 5e-7
"""For Q8_K: `code * scale + bias` rounds twice in float32, while the reference multiplies once."""
SCALES_AT: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys(("Q4_0", "Q5_0", "Q8_0"), (0,)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q6_K": (208,),
}
"""Byte offsets of the f16 numbers in a block. Q8_K has an f32 at 0 instead."""

Array = npt.NDArray[np.float32]
every_type = pytest.mark.parametrize("type_name", QUANTIZED_TYPES)


def dequantized_by_mlx(affine: AffineMatrix, type_name: str) -> Array:
    """In f32, like the loader on the CPU."""
    codes, scales, biases = (mx.array(part) for part in affine)
    repacking = REPACKINGS[type_name]
    weights = mx.dequantize(
        codes, scales.astype(mx.float32), biases.astype(mx.float32), repacking.group_size, repacking.bits
    )
    return np.array(weights)


def repacked(rows: npt.NDArray[np.uint8], type_name: str) -> Array:
    affine = REPACKINGS[type_name].repack(rows)
    assert affine.scales.dtype == affine.biases.dtype == REPACKINGS[type_name].scale_dtype
    return dequantized_by_mlx(affine, type_name)


def relative_error(found: Array, expected: Array) -> float:
    return float(np.sqrt(np.square(found - expected).sum() / np.square(expected).sum()))


def trained_weights(*shape: int) -> Array:
    """Like the matrices of trained models, which have more outliers than a normal distribution."""
    return np.asarray(np.random.default_rng(1).standard_t(5, shape) / 50, np.float32)


def normal_weights(*shape: int) -> Array:
    return np.random.default_rng(3).standard_normal(shape, np.float32)


def random_blocks(type_name: str) -> npt.NDArray[np.uint8]:
    """Random codes and group scales, with block scales of a realistic size."""
    random = np.random.default_rng(2)
    block_bytes = REPACKINGS[type_name].block_bytes
    blocks = random.integers(0, 256, (ROWS * 5 * 8, block_bytes), dtype=np.uint8)
    numbers = random.standard_normal((len(blocks), 2))
    if type_name == "Q8_K":
        blocks[:, :4] = numbers[:, :1].astype("<f4").view(np.uint8)
    for index, at in enumerate(SCALES_AT.get(type_name, ())):
        blocks[:, at : at + 2] = np.ascontiguousarray(numbers[:, index : index + 1].astype("<f2")).view(np.uint8)
    return blocks.reshape(ROWS, -1)


def test_each_type_is_tested() -> None:
    assert {*EXACT, *ROUNDED, "Q8_K"} == REPACKINGS.keys() == set(QUANTIZED_TYPES)
    assert {name for name, repacking in REPACKINGS.items() if repacking.relative_error} == set(ROUNDED)


@pytest.mark.parametrize("type_name", EXACT)
def test_quantised_weights_are_bit_identical(type_name: str) -> None:
    rows = quantized(trained_weights(ROWS, COLUMNS), type_name)
    assert np.array_equal(repacked(rows, type_name), dequantized(rows, type_name))


@pytest.mark.parametrize("type_name", EXACT)
def test_random_blocks_are_bit_identical(type_name: str) -> None:
    rows = random_blocks(type_name)
    assert np.array_equal(repacked(rows, type_name), dequantized(rows, type_name))


@pytest.mark.parametrize("rows", [quantized(trained_weights(ROWS, COLUMNS), "Q8_K"), random_blocks("Q8_K")])
def test_q8_k_is_equal_except_for_rounding(rows: npt.NDArray[np.uint8]) -> None:
    found, expected = repacked(rows, "Q8_K"), dequantized(rows, "Q8_K")
    assert relative_error(found, expected) < EIGHT_BIT_ERROR
    largest = np.abs(expected.reshape(-1, 256)).max(axis=-1, keepdims=True)
    assert (np.abs(found - expected).reshape(-1, 256) <= largest * 2**-22).all()


@pytest.mark.parametrize("type_name", ROUNDED)
@pytest.mark.parametrize("make", [trained_weights, normal_weights])
def test_requantising_loses_no_more_than_documented_and_under_a_fifth_of_the_types_own_loss(
    type_name: str, make: Callable[..., Array]
) -> None:
    weights = make(ROWS, 40 * COLUMNS)
    rows = quantized(weights, type_name)
    expected = dequantized(rows, type_name)
    error = relative_error(repacked(rows, type_name), expected)
    assert REPACKINGS[type_name].relative_error / 2 < error < REPACKINGS[type_name].relative_error
    assert error < relative_error(expected, weights) / 5


@pytest.mark.parametrize("type_name", ROUNDED)
def test_requantising_random_blocks_moves_no_weight_by_more_than_a_step_and_a_half(type_name: str) -> None:
    rows = random_blocks(type_name)
    expected = dequantized(rows, type_name)
    groups = expected.reshape(ROWS, -1, 32)
    step = np.ptp(groups, axis=-1) / ((1 << REPACKINGS[type_name].bits) - 1)
    moved = np.abs(repacked(rows, type_name) - expected).reshape(groups.shape)
    assert (moved.max(axis=-1) <= 1.5 * step + 1e-3 * np.abs(groups).max(axis=-1)).all()


@pytest.mark.parametrize(("type_name", "max_code"), [("Q3_K", 4), ("Q6_K", 32)])
def test_the_group_with_the_larger_step_stays_exact(type_name: str, max_code: int) -> None:
    """Its scale is a power of two here, so that f16 holds an integer fraction of it exactly."""
    random = np.random.default_rng(4)
    weights = random.integers(-max_code, max_code, (64, 8, 2, 16)).astype(np.float32)
    weights[:, :, 0, :1], weights[:, :, 1, :1] = -max_code, -max_code * 11 / 16
    weights[:, :, 1, 1:] *= 11 / 16
    rows = quantized(weights.reshape(64, 256), type_name)
    expected = dequantized(rows, type_name).reshape(weights.shape)
    found = repacked(rows, type_name).reshape(weights.shape)
    assert relative_error(found[:, :, 0], expected[:, :, 0]) < REPACKINGS[type_name].relative_error / 4
    assert relative_error(found[:, :, 1], expected[:, :, 1]) > REPACKINGS[type_name].relative_error / 4


@every_type
def test_zeros_stay_zeros(type_name: str) -> None:
    rows = quantized(np.zeros((2, 512), np.float32), type_name)
    assert not repacked(rows, type_name).any()


@pytest.mark.parametrize("type_name", ROUNDED)
def test_equal_weights_stay_equal(type_name: str) -> None:
    rows = np.full((1, REPACKINGS[type_name].block_bytes), 0x55, np.uint8)
    for at in SCALES_AT[type_name]:
        rows[:, at : at + 2] = np.array([0.25], "<f2").view(np.uint8)
    if type_name == "Q2_K":
        rows[:, :16] = 0x52
    expected = dequantized(rows, type_name)
    assert len(np.unique(expected[0, :32])) == 1
    np.testing.assert_allclose(repacked(rows, type_name)[0, :32], expected[0, :32], rtol=2**-11)


def test_steps_at_the_lower_limit_of_f16_stay_exact() -> None:
    rows = random_blocks("Q6_K").reshape(-1, 210)
    rows[:, 192:208] = rows[:, 192:208] % 4 + 1
    rows[:, 208:] = np.array([2**-24], "<f2").view(np.uint8)
    assert np.array_equal(repacked(rows, "Q6_K"), dequantized(rows, "Q6_K"))


@every_type
@pytest.mark.parametrize("scale", [np.inf, np.nan])
def test_a_scale_that_is_not_finite_is_refused(type_name: str, scale: float) -> None:
    dtype = "<f4" if type_name == "Q8_K" else "<f2"
    for at in SCALES_AT.get(type_name, (0,)):
        rows = quantized(trained_weights(4, 512), type_name)
        damaged = np.array([scale], dtype).view(np.uint8)
        rows[2, at : at + len(damaged)] = damaged
        with pytest.raises(ValueError, match="not a finite number"):
            REPACKINGS[type_name].repack(rows)


@pytest.mark.parametrize("type_name", ["Q8_0", "Q6_K", "Q3_K", "Q2_K"])
def test_a_scale_or_bias_that_overflows_its_type_is_refused(type_name: str) -> None:
    rows = np.full((1, REPACKINGS[type_name].block_bytes), 0x45, np.uint8)
    for at in SCALES_AT[type_name]:
        rows[:, at : at + 2] = np.array([60000], "<f2").view(np.uint8)
    with pytest.raises(ValueError, match="not a finite number"):
        REPACKINGS[type_name].repack(rows)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_codes_are_packed_as_mlx_packs_them(bits: int) -> None:
    codes = np.random.default_rng(5).integers(0, 1 << bits, (3, 64), dtype=np.uint8)
    ones, zeros = mx.ones((3, 2)), mx.zeros((3, 2))
    assert np.array_equal(np.array(mx.dequantize(mx.array(pack_codes(codes, bits)), ones, zeros, 32, bits)), codes)
