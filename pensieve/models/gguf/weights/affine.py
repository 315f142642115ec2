"""MLX's affine quantisation, and how a block type of GGUF is converted to it.

A weight is `code * scale + bias`, with one scale and one bias for each group of 32, 64 or 128 weights in a row. The
codes of a row are one bit stream, lowest bit first, in 32-bit words (`mlx.core.quantize`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float16] | npt.NDArray[np.float32]


class AffineMatrix(NamedTuple):
    """A matrix in MLX's affine form."""

    codes: npt.NDArray[np.uint32]
    """[rows, columns * bits / 32]"""
    scales: Floats
    """[rows, columns / group_size]"""
    biases: Floats
    """[rows, columns / group_size]"""


class UnpackedBlocks(NamedTuple):
    """GGUF blocks as separate arrays, with one block in each row."""

    codes: Bytes
    """[blocks, weights of a block], one code in each byte."""
    scales: Floats
    """[blocks, groups of a block]"""
    biases: Floats
    """[blocks, groups of a block]"""


@dataclass(frozen=True, slots=True)
class Repacking:
    """How one block type is converted to the affine form."""

    block_bytes: int
    bits: int
    group_size: int
    scale_dtype: np.dtype[np.float16] | np.dtype[np.float32]
    """Of scales and biases: the narrowest type that holds them as exactly as the codes hold the weights."""
    unpack: Callable[[Bytes], UnpackedBlocks]
    """Gets uint8 [blocks, block_bytes]."""
    relative_error: float = 0.0
    """The upper bound for weights from a quantiser: root mean square of the error over that of the weights. 0 means
    that only `code * scale + bias` is rounded, to float32.
    """

    def repack(self, rows: Bytes) -> AffineMatrix:
        """Convert rows of blocks, uint8 [rows, bytes of a row].

        Raises:
            ValueError: a scale or bias is not finite, as happens in damaged files.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            blocks = self.unpack(rows.reshape(-1, self.block_bytes))
        if not (np.isfinite(blocks.scales).all() and np.isfinite(blocks.biases).all()):
            raise ValueError("a block's scale is not a finite number")
        num_rows = rows.shape[0]
        return AffineMatrix(
            pack_codes(blocks.codes.reshape(num_rows, -1), self.bits),
            blocks.scales.reshape(num_rows, -1),
            blocks.biases.reshape(num_rows, -1),
        )


def pack_codes(codes: Bytes, bits: int) -> npt.NDArray[np.uint32]:
    """Pack codes, one in each byte [rows, columns], into one bit stream for each row."""
    if bits == 8:
        return np.ascontiguousarray(codes).view("<u4")
    if bits == 4:
        return np.ascontiguousarray(codes[:, 0::2] | codes[:, 1::2] << 4).view("<u4")
    groups = codes.reshape(codes.shape[0], -1, 8)  # of eight, since they fill whole bytes at any width
    streams = np.zeros(groups.shape[:-1], np.uint64)
    for index in range(8):
        streams |= groups[..., index].astype(np.uint64) << np.uint64(bits * index)
    stream_bytes = streams.astype("<u8")[..., None].view(np.uint8)[..., :bits]
    return np.ascontiguousarray(stream_bytes.reshape(codes.shape[0], -1)).view("<u4")


def floats_at(blocks: Bytes, at: int, dtype: str = "<f2") -> npt.NDArray[np.float32]:
    """The number at byte offset `at` of each block, as float32 [blocks, 1]."""
    size = np.dtype(dtype).itemsize
    return np.ascontiguousarray(blocks[:, at : at + size]).view(dtype).astype(np.float32)
