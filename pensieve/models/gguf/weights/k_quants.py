"""GGUF's K types: blocks of 256 weights in groups, with small integer scales that the block's own scale multiplies.

Q4_K and Q5_K have groups of 32, Q8_K one of 256. Their codes are copied, and their scales and biases multiplied out,
which is exact in float32. Q2_K, Q3_K and Q6_K have groups of 16, smaller than MLX allows: two of them become one of 32
with wider codes (`merge_groups`). Each width is the narrowest that loses less than a fifth of what the type itself has
lost, which increases the total error by less than 2 %. (8 bits would hold Q3_K exactly, since all weights of a block
are integer multiples of its d, from -124 to 128; but they take 8.25 bits for each weight, and 5-bit codes take 6.)

The layouts are those of ggml's block_q*_K (ggml-common.h, ggml-quants.c).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from pensieve.models.gguf.weights.affine import Bytes, Repacking, UnpackedBlocks, floats_at
from pensieve.models.gguf.weights.merge_groups import merge_groups

_F16: Final = np.dtype("<f2")
_F32: Final = np.dtype("<f4")
_TWO: Final = np.uint8(2)
_FOUR: Final = np.uint8(4)
_Q2_K_BITS: Final = 4
_Q3_K_BITS: Final = 5
_Q6_K_BITS: Final = 8


def _fields(packed: Bytes, num_rows: int, width: int, shifts: range) -> Bytes:
    """Extract fields of `width` bits at each of `shifts`, as [blocks, num_rows * len(shifts), 32].

    The bytes of a block are `num_rows` rows of 32; each byte holds one field for each shift.
    """
    rows = packed.reshape(len(packed), num_rows, 1, -1) >> np.array(shifts, np.uint8)[:, None]
    return (rows & np.uint8((1 << width) - 1)).reshape(len(packed), -1, 32)


def _six_bit_scales(packed: Bytes) -> tuple[Bytes, Bytes]:
    """The scales and minima of Q4_K and Q5_K: eight of each in twelve bytes."""
    first, second, rest = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 63, rest & 15 | first >> 2 & 0x30], axis=-1)
    minima = np.concatenate([second & 63, rest >> 4 | second >> 2 & 0x30], axis=-1)
    return scales, minima


def _q4_or_q5(blocks: Bytes, codes: Bytes) -> UnpackedBlocks:
    """Exact: a scale is an f16 (11 significant bits) times a 6-bit integer, and float32 holds 24 bits."""
    scales, minima = _six_bit_scales(blocks[:, 4:16])
    return UnpackedBlocks(codes, floats_at(blocks, 0) * scales, -floats_at(blocks, 2) * minima)


def _q4_k(blocks: Bytes) -> UnpackedBlocks:
    return _q4_or_q5(blocks, _fields(blocks[:, 16:], 4, 4, range(0, 8, 4)))


def _q5_k(blocks: Bytes) -> UnpackedBlocks:
    fifth = _fields(blocks[:, 16:48], 1, 1, range(8))
    return _q4_or_q5(blocks, _fields(blocks[:, 48:], 4, 4, range(0, 8, 4)) | fifth << _FOUR)


def _q8_k(blocks: Bytes) -> UnpackedBlocks:
    """Two groups of 128 with the same scale. The sums at the end of a block only serve dot products and are dropped."""
    scales = np.repeat(floats_at(blocks, 0, "<f4"), 2, axis=1)
    return UnpackedBlocks(blocks[:, 4:260] ^ np.uint8(0x80), scales, scales * np.float32(-128))


def _q6_k(blocks: Bytes) -> UnpackedBlocks:
    codes = _fields(blocks[:, :128], 2, 4, range(0, 8, 4)) | _fields(blocks[:, 128:192], 2, 2, range(0, 8, 2)) << _FOUR
    scales = floats_at(blocks, 208) * blocks[:, 192:208].view(np.int8)
    return merge_groups(codes, scales, scales * np.float32(-32), _Q6_K_BITS)


def _q3_k(blocks: Bytes) -> UnpackedBlocks:
    codes = _fields(blocks[:, 32:96], 2, 2, range(0, 8, 2)) | _fields(blocks[:, :32], 1, 1, range(8)) << _TWO
    scales = floats_at(blocks, 108) * _q3_k_scales(blocks[:, 96:108])
    return merge_groups(codes, scales, scales * np.float32(-4), _Q3_K_BITS)


def _q3_k_scales(packed: Bytes) -> npt.NDArray[np.int8]:
    """Sixteen scales from -32 to 31: the low four bits of each in eight bytes, then the high two bits in four."""
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=-1)
    high = np.concatenate([packed[:, 8:] >> shift & 3 for shift in range(0, 8, 2)], axis=-1)
    scales: npt.NDArray[np.int8] = (low | high << _FOUR).view(np.int8)
    return scales - np.int8(32)


def _q2_k(blocks: Bytes) -> UnpackedBlocks:
    scales = floats_at(blocks, 80) * (blocks[:, :16] & 15)
    minima = floats_at(blocks, 82) * (blocks[:, :16] >> 4)
    return merge_groups(_fields(blocks[:, 16:80], 2, 2, range(0, 8, 2)), scales, -minima, _Q2_K_BITS)


K_REPACKINGS: Final[Mapping[str, Repacking]] = {
    "Q2_K": Repacking(84, _Q2_K_BITS, 32, _F16, _q2_k, relative_error=0.075),
    "Q3_K": Repacking(110, _Q3_K_BITS, 32, _F16, _q3_k, relative_error=0.035),
    "Q4_K": Repacking(144, 4, 32, _F32, _q4_k),
    "Q5_K": Repacking(176, 5, 32, _F32, _q5_k),
    "Q6_K": Repacking(210, _Q6_K_BITS, 32, _F16, _q6_k, relative_error=0.005),
    "Q8_K": Repacking(292, 8, 128, _F32, _q8_k),
}
