"""MLX's affine quantisation, and block types of GGUF as something that can be brought into it.

A weight is `code * scale + bias`, with one scale and bias to a group of 32, 64 or 128 weights of a row. The codes of a
row are one stream of bits, the lowest bit first, in words of 32 (`mlx.core.quantize`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float16] | npt.NDArray[np.float32]


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
    """The narrowest type that holds scales and biases of this block as exactly as its codes hold the weights."""
    take_apart: Callable[[Bytes], Blocks]
    relative_error: float = 0.0
    """What the weights lose at most, as the root of the mean square of the error over that of the weights, for weights
    that a quantiser made. 0: nothing but the rounding of `code * scale + bias` to float32.
    """

    def repack(self, rows: Bytes) -> Affine:
        """Rows of blocks, uint8 [rows, bytes of a row], in affine form.

        Raises:
            ValueError: a scale or bias is no finite number, as happens in damaged files.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            blocks = self.take_apart(rows.reshape(-1, self.block_bytes))
        if not (np.isfinite(blocks.scales).all() and np.isfinite(blocks.biases).all()):
            raise ValueError("a block's scale is not a finite number")
        num_rows = rows.shape[0]
        return Affine(
            packed(blocks.codes.reshape(num_rows, -1), self.bits),
            blocks.scales.reshape(num_rows, -1),
            blocks.biases.reshape(num_rows, -1),
        )


def packed(codes: Bytes, bits: int) -> npt.NDArray[np.uint32]:
    """One code in a byte, [rows, columns], to a row's stream of bits. Eight codes always fill whole bytes."""
    if bits == 8:
        return np.ascontiguousarray(codes).view("<u4")
    if bits == 4:
        return np.ascontiguousarray(codes[:, 0::2] | codes[:, 1::2] << 4).view("<u4")
    eights = codes.reshape(codes.shape[0], -1, 8)
    streams = np.zeros(eights.shape[:-1], np.uint64)
    for place in range(8):
        streams |= eights[..., place].astype(np.uint64) << np.uint64(bits * place)
    stream_bytes = streams.astype("<u8")[..., None].view(np.uint8)[..., :bits]
    return np.ascontiguousarray(stream_bytes.reshape(codes.shape[0], -1)).view("<u4")


def floats_at(blocks: Bytes, at: int, dtype: str = "<f2") -> npt.NDArray[np.float32]:
    """The number at a byte of each block, as float32 [blocks, 1]."""
    size = np.dtype(dtype).itemsize
    return np.ascontiguousarray(blocks[:, at : at + size]).view(dtype).astype(np.float32)
