"""GGUF's quantised blocks as MLX's affine quantisation, by moving bits, never by rounding (lab: GGUF to MLX).

Both hold a weight as `code * scale + bias` with one scale and bias to a group of weights, so for each block type of
`REPACKINGS` the result is the same numbers. In a GGUF block of 32 the low nibbles of 16 bytes are the first 16 codes
and the high nibbles the other 16. MLX wants the codes of a row as one stream of bits, the lowest bit first, in words
of 32 (`mlx.core.quantize`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float16] | npt.NDArray[np.float32]

_F16: Final = np.dtype("<f2")


class Affine(NamedTuple):
    """A matrix in MLX's affine form, rows first."""

    codes: npt.NDArray[np.uint32]
    """[rows, columns * bits / 32], packed."""
    scales: Floats
    """[rows, columns / group size]"""
    biases: Floats
    """[rows, columns / group size]"""


class Blocks(NamedTuple):
    """Blocks taken apart, one in a row."""

    codes: Bytes
    """[blocks, elements of a block], one code in a byte."""
    scales: Floats
    """[blocks, groups of a block]"""
    biases: Floats
    """[blocks, groups of a block]"""


@dataclass(frozen=True, slots=True)
class Repacking:
    """How one block type becomes affine. `take_apart` gets uint8 [blocks, block_bytes]."""

    block_bytes: int
    bits: int
    group_size: int
    parameters: np.dtype[np.float16] | np.dtype[np.float32]
    """The narrowest type that holds scales and biases of this block exactly."""
    take_apart: Callable[[Bytes], Blocks]

    def repack(self, rows: Bytes) -> Affine:
        """Rows of blocks, uint8 [rows, bytes of a row], in affine form.

        Raises:
            ValueError: a scale or bias is no finite number, as happens in damaged files.
        """
        blocks = self.take_apart(rows.reshape(-1, self.block_bytes))
        if not (np.isfinite(blocks.scales).all() and np.isfinite(blocks.biases).all()):
            raise ValueError("a block's scale is not a finite number")
        num_rows = rows.shape[0]
        return Affine(
            _pack(blocks.codes.reshape(num_rows, -1), self.bits),
            blocks.scales.reshape(num_rows, -1),
            blocks.biases.reshape(num_rows, -1),
        )


def _pack(codes: Bytes, bits: int) -> npt.NDArray[np.uint32]:
    """One code in a byte, [rows, columns], to a row's stream of bits. Eight codes always fill whole bytes."""
    if bits == 8:
        return np.ascontiguousarray(codes).view("<u4")
    if bits == 4:
        return np.ascontiguousarray(codes[:, 0::2] | codes[:, 1::2] << 4).view("<u4")
    eights = codes.reshape(codes.shape[0], -1, 8).astype("<u8")
    streams = np.bitwise_or.reduce(eights << np.arange(0, 8 * bits, bits, dtype=np.uint64), axis=-1)
    packed = streams.astype("<u8")[..., None].view(np.uint8)[..., :bits].reshape(codes.shape[0], -1)
    return np.ascontiguousarray(packed).view("<u4")


def _halves(blocks: Bytes, at: int) -> npt.NDArray[np.float16]:
    """The f16 at a byte of each block, [blocks, 1]."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(_F16)


def _nibbles(quants: Bytes) -> Bytes:
    return np.concatenate([quants & 0x0F, quants >> 4], axis=-1)


def _fifth_bits(mask: Bytes) -> Bytes:
    """The 32 bits of each block's mask, already in their place above four."""
    return np.unpackbits(mask, axis=-1, bitorder="little") << np.uint8(4)


def _symmetric(codes: Bytes, scales: npt.NDArray[np.float16], zero: int) -> Blocks:
    """Weights of `scale * (code - zero)`. `zero` is a power of two: a bias is exact, or too large for its type."""
    with np.errstate(over="ignore", invalid="ignore"):
        return Blocks(codes, scales, scales * np.float16(-zero))


def _q4_0(blocks: Bytes) -> Blocks:
    return _symmetric(_nibbles(blocks[:, 2:]), _halves(blocks, 0), 8)


def _q4_1(blocks: Bytes) -> Blocks:
    return Blocks(_nibbles(blocks[:, 4:]), _halves(blocks, 0), _halves(blocks, 2))


def _q5_0(blocks: Bytes) -> Blocks:
    return _symmetric(_nibbles(blocks[:, 6:]) | _fifth_bits(blocks[:, 2:6]), _halves(blocks, 0), 16)


def _q5_1(blocks: Bytes) -> Blocks:
    return Blocks(_nibbles(blocks[:, 8:]) | _fifth_bits(blocks[:, 4:8]), _halves(blocks, 0), _halves(blocks, 2))


def _q8_0(blocks: Bytes) -> Blocks:
    # A signed byte plus 128 is that byte with its highest bit turned over.
    return _symmetric(blocks[:, 2:] ^ np.uint8(0x80), _halves(blocks, 0), 128)


REPACKINGS: Final = {
    "Q4_0": Repacking(18, 4, 32, _F16, _q4_0),
    "Q4_1": Repacking(20, 4, 32, _F16, _q4_1),
    "Q5_0": Repacking(22, 5, 32, _F16, _q5_0),
    "Q5_1": Repacking(24, 5, 32, _F16, _q5_1),
    "Q8_0": Repacking(34, 8, 32, _F16, _q8_0),
}
"""Each GGUF type that has an exact affine form."""
