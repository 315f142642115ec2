"""GGUF's quantised blocks converted to MLX's affine quantisation: exactly where possible, with rounding elsewhere.

In a GGUF block of 32 weights, the low nibbles of 16 bytes are the first 16 codes and the high nibbles the other 16. The
larger blocks are in `k_quants`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from pensieve.models.gguf.weights.affine import Bytes, Repacking, UnpackedBlocks
from pensieve.models.gguf.weights.k_quants import K_REPACKINGS

_F16: Final = np.dtype("<f2")


def _f16_at(blocks: Bytes, at: int) -> npt.NDArray[np.float16]:
    """The f16 at byte offset `at` of each block, [blocks, 1]."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(_F16)


def _nibbles(quants: Bytes) -> Bytes:
    return np.concatenate([quants & 0x0F, quants >> 4], axis=-1)


def _fifth_bits(mask: Bytes) -> Bytes:
    """The 32 bits of each block's mask, shifted to bit 4 of the codes."""
    return np.unpackbits(mask, axis=-1, bitorder="little") << np.uint8(4)


def _symmetric(codes: Bytes, scales: npt.NDArray[np.float16], zero: int) -> UnpackedBlocks:
    """Weights `scale * (code - zero)`. Since `zero` is a power of two, the bias is exact unless it overflows."""
    return UnpackedBlocks(codes, scales, scales * np.float16(-zero))


def _q4_0(blocks: Bytes) -> UnpackedBlocks:
    return _symmetric(_nibbles(blocks[:, 2:]), _f16_at(blocks, 0), 8)


def _q4_1(blocks: Bytes) -> UnpackedBlocks:
    return UnpackedBlocks(_nibbles(blocks[:, 4:]), _f16_at(blocks, 0), _f16_at(blocks, 2))


def _q5_0(blocks: Bytes) -> UnpackedBlocks:
    return _symmetric(_nibbles(blocks[:, 6:]) | _fifth_bits(blocks[:, 2:6]), _f16_at(blocks, 0), 16)


def _q5_1(blocks: Bytes) -> UnpackedBlocks:
    return UnpackedBlocks(_nibbles(blocks[:, 8:]) | _fifth_bits(blocks[:, 4:8]), _f16_at(blocks, 0), _f16_at(blocks, 2))


def _q8_0(blocks: Bytes) -> UnpackedBlocks:
    # Adding 128 to a signed byte flips its highest bit.
    return _symmetric(blocks[:, 2:] ^ np.uint8(0x80), _f16_at(blocks, 0), 128)


REPACKINGS: Final[Mapping[str, Repacking]] = {
    "Q4_0": Repacking(18, 4, 32, _F16, _q4_0),
    "Q4_1": Repacking(20, 4, 32, _F16, _q4_1),
    "Q5_0": Repacking(22, 5, 32, _F16, _q5_0),
    "Q5_1": Repacking(24, 5, 32, _F16, _q5_1),
    "Q8_0": Repacking(34, 8, 32, _F16, _q8_0),
    **K_REPACKINGS,
}
"""By type name: all quantised types that can be converted."""
