"""Quantisers for GGUF's K types, which the `gguf` package can only read: plain rounding, without llama.cpp's searches.

Each takes float32 [..., columns], with columns a multiple of 256, and returns uint8 [..., bytes of a row]. The layouts
are those of ggml's block_q*_K.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def k_quantized(weights: Array, type_name: str) -> Bytes:
    blocks = _QUANTIZERS[type_name](weights.reshape(-1, 256))
    return blocks.reshape(*weights.shape[:-1], -1)


def _codes(weights: Array, steps: Array, zeros: Array, max_code: int) -> Bytes:
    """The nearest codes from 0 to `max_code`."""
    safe = np.where(steps == 0, np.float32(1), steps)
    return np.clip(np.rint((weights - zeros[..., None]) / safe[..., None]), 0, max_code).astype(np.uint8)


def _to_f16(numbers: Array) -> tuple[Array, Bytes]:
    """Round one number for each block to f16; returns the rounded numbers and their bytes."""
    halves = numbers.astype("<f2")
    return halves.astype(np.float32), halves.view(np.uint8).reshape(-1, 2)


def _furthest_from_zero(groups: Array) -> Array:
    """The number with the largest magnitude in each group."""
    return np.take_along_axis(groups, np.abs(groups).argmax(-1)[..., None], -1)[..., 0]


def _symmetric(weights: Array, bits: int, lowest: int, highest: int) -> tuple[Bytes, npt.NDArray[np.int8], Bytes]:
    """For groups of 16: codes of `bits` bits around their middle, scales from `lowest` to `highest`, and d."""
    groups = weights.reshape(-1, 16, 16)
    middle = 1 << bits - 1
    ideal = _furthest_from_zero(groups) / np.float32(-middle)
    d, d_bytes = _to_f16((_furthest_from_zero(ideal) / np.float32(lowest))[:, None])
    scales = np.clip(np.rint(ideal / np.where(d == 0, np.float32(1), d)), lowest, highest)
    steps = (d * scales).astype(np.float32)
    return _codes(groups, steps, -middle * steps, (1 << bits) - 1), scales.astype(np.int8), d_bytes


def _with_minimum(
    weights: Array, group_size: int, bits: int, scale_bits: int
) -> tuple[Bytes, Bytes, Bytes, tuple[Bytes, Bytes]]:
    """Codes above each group's minimum, scales and minima of `scale_bits` bits, and the bytes of d and dmin."""
    groups = weights.reshape(len(weights), -1, group_size)
    low, high = np.minimum(groups.min(-1), 0), groups.max(-1)
    ideal, max_scale = (high - low) / np.float32((1 << bits) - 1), np.float32((1 << scale_bits) - 1)
    (d, d_bytes), (dmin, dmin_bytes) = (_to_f16(parts.max(-1, keepdims=True) / max_scale) for parts in (ideal, -low))
    scales, minima = (
        np.clip(np.rint(parts / np.where(unit == 0, np.float32(1), unit)), 0, max_scale)
        for parts, unit in ((ideal, d), (-low, dmin))
    )
    codes = _codes(groups, d * scales, -dmin * minima, (1 << bits) - 1)
    return codes, scales.astype(np.uint8), minima.astype(np.uint8), (d_bytes, dmin_bytes)


def _packed(codes: Bytes, width: int, per_byte: int) -> Bytes:
    """Pack fields of `width` bits: `per_byte` runs of 32 codes share 32 bytes, the first run in the lowest bits."""
    runs = codes.reshape(len(codes), -1, per_byte, 32)
    shared = np.zeros((len(codes), runs.shape[1], 32), np.uint8)
    for index in range(per_byte):
        shared |= (runs[:, :, index] & np.uint8((1 << width) - 1)) << np.uint8(width * index)
    return shared.reshape(len(codes), -1)


def _q6_k(weights: Array) -> Bytes:
    codes, scales, d = _symmetric(weights, 6, -128, 127)
    low = codes.reshape(-1, 2, 2, 2, 32)  # halves, then low and high nibbles of two runs
    quants = (low[:, :, 0] & 15) | (low[:, :, 1] & 15) << 4
    return np.concatenate(
        [quants.reshape(len(d), -1), _packed(codes.reshape(len(d), -1) >> np.uint8(4), 2, 4), scales.view(np.uint8), d],
        axis=-1,
    )


def _q3_k(weights: Array) -> Bytes:
    codes, scales, d = _symmetric(weights, 3, -32, 31)
    flat = codes.reshape(len(d), -1)
    high = _packed(flat >> np.uint8(2), 1, 8)
    unsigned = (scales + np.int8(32)).view(np.uint8)
    lower = unsigned[:, :8] & 15 | (unsigned[:, 8:] & 15) << 4
    upper = np.zeros((len(d), 4), np.uint8)
    for part in range(4):
        upper |= (unsigned[:, 4 * part : 4 * part + 4] >> 4) << np.uint8(2 * part)
    return np.concatenate([high, _packed(flat, 2, 4), lower, upper, d], axis=-1)


def _q2_k(weights: Array) -> Bytes:
    codes, scales, minima, halves = _with_minimum(weights, 16, 2, 4)
    return np.concatenate([scales | minima << 4, _packed(codes.reshape(len(codes), -1), 2, 4), *halves], axis=-1)


def _six_bit_scales(scales: Bytes, minima: Bytes) -> Bytes:
    return np.concatenate(
        [
            scales[:, :4] | (scales[:, 4:] >> 4) << 6,
            minima[:, :4] | (minima[:, 4:] >> 4) << 6,
            scales[:, 4:] & 15 | (minima[:, 4:] & 15) << 4,
        ],
        axis=-1,
    )


def _q4_k(weights: Array) -> Bytes:
    codes, scales, minima, halves = _with_minimum(weights, 32, 4, 6)
    return np.concatenate(
        [*halves, _six_bit_scales(scales, minima), _packed(codes.reshape(len(codes), -1), 4, 2)], axis=-1
    )


def _q5_k(weights: Array) -> Bytes:
    codes, scales, minima, halves = _with_minimum(weights, 32, 5, 6)
    flat = codes.reshape(len(codes), -1)
    return np.concatenate(
        [*halves, _six_bit_scales(scales, minima), _packed(flat >> np.uint8(4), 1, 8), _packed(flat, 4, 2)], axis=-1
    )


def _q8_k(weights: Array) -> Bytes:
    d = (_furthest_from_zero(weights) / np.float32(-127))[:, None].astype("<f4")
    codes = np.clip(np.rint(weights / np.where(d == 0, np.float32(1), d)), -127, 127).astype(np.int8)
    sums = codes.reshape(-1, 16, 16).sum(-1, dtype=np.int16).astype("<i2")
    return np.concatenate([d.view(np.uint8), codes.view(np.uint8), sums.view(np.uint8)], axis=-1)


_QUANTIZERS: Final[Mapping[str, Callable[[Array], Bytes]]] = {
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "Q8_K": _q8_k,
}
K_TYPES: Final = tuple(_QUANTIZERS)


def q8_k_dequantized(rows: Bytes) -> Array:
    """D times each signed byte. The `gguf` package cannot dequantise this type."""
    blocks = rows.reshape(-1, 292)
    weights = blocks[:, :4].copy().view("<f4") * blocks[:, 4:260].view(np.int8)
    return np.asarray(weights, np.float32).reshape(*rows.shape[:-1], -1)
