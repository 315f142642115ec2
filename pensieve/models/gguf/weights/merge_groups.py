"""Merging two groups of 16 weights into one of 32 with wider codes, at the smallest loss that such codes allow.

The two groups have different steps, and one step cannot be exact for both. The merged step is an integer fraction of
the larger one: the group with the larger weights stays exact, and only the other group is rounded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pensieve.models.gguf.weights.affine import Bytes, UnpackedBlocks

Array = npt.NDArray[np.float32]


def merge_groups(codes: Bytes, scales: Array, biases: Array, bits: int) -> UnpackedBlocks:
    """Merge groups of 16, codes [blocks, …] with scales and biases [blocks, groups], into groups of 32 of `bits` bits.

    Scales and biases are rounded to f16 first, and the codes are chosen for the rounded ones.
    """
    num_blocks, max_code = len(codes), (1 << bits) - 1
    steps, zeros = scales.reshape(num_blocks, -1, 2), biases.reshape(num_blocks, -1, 2)
    weights = _weights(codes.reshape(num_blocks, -1, 2, 16), steps, zeros)
    scale, bias = _common_step(steps, zeros, weights.min(axis=-1), weights.max(axis=-1), max_code)
    weights -= bias.astype(np.float32)[..., None]
    weights /= np.where(scale == 0, np.float16(1), scale).astype(np.float32)[..., None]
    np.rint(weights, out=weights)
    np.clip(weights, 0, max_code, out=weights)
    return UnpackedBlocks(weights.astype(np.uint8).reshape(num_blocks, -1), scale, bias)


def _weights(codes: Bytes, steps: Array, zeros: Array) -> Array:
    """The weights of each pair of groups, [blocks, pairs, 32]."""
    weights = codes.astype(np.float32)
    weights *= steps[..., None]
    weights += zeros[..., None]
    return weights.reshape(*steps.shape[:-1], 32)


def _common_step(
    steps: Array, zeros: Array, lowest: Array, highest: Array, max_code: int
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """The scale and bias, as f16, for weights from `lowest` to `highest` with codes from 0 to `max_code`."""
    is_second = np.abs(steps[..., 1]) > np.abs(steps[..., 0])
    larger = np.abs(np.where(is_second, steps[..., 1], steps[..., 0]))
    zero = np.where(is_second, zeros[..., 1], zeros[..., 0])
    span = highest - lowest
    with np.errstate(divide="ignore", invalid="ignore"):
        # Rounding both ends outwards may need one code more than there is. The weight at one end is then off by one
        # step, which costs less than a coarser step for all weights.
        divisor = np.floor(max_code * larger / span)
        step = larger / divisor
        # Half of the weights become exact, which pays off while the step is at most sqrt(2) times the finest possible.
        is_aligned = (step * max_code <= np.float32(np.sqrt(2)) * span) & (span > 0)
        step = np.where(is_aligned, step, span / np.float32(max_code))
        bias = np.where(is_aligned, zero + np.rint((lowest - zero) / step) * step, lowest)
    scale = step.astype(np.float16)
    # Tiny steps lose bits in f16; round them up if the codes would no longer span all weights.
    scale = np.where(scale.astype(np.float32) * max_code < span, np.nextafter(scale, np.float16(np.inf)), scale)
    return scale, bias.astype(np.float16)
