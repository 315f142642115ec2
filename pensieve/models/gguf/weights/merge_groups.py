"""Two groups of 16 weights as one of 32 with wider codes, losing as little as such codes allow.

Each of the two has its own step, so one step for both cannot hit both. It is made a whole fraction of the larger one's:
then the weights of that group, which are the larger ones, stay what they were, and only the other's are rounded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pensieve.models.gguf.weights.affine import Blocks, Bytes

Array = npt.NDArray[np.float32]


def merged(codes: Bytes, scales: Array, biases: Array, bits: int) -> Blocks:
    """Groups of 16, [blocks, ...], with scales and biases [blocks, groups], as groups of 32 with codes of `bits` bits.

    Scales and biases become f16: the codes are those that suit them as they are then.
    """
    num_blocks, most = len(codes), (1 << bits) - 1
    steps, zeros = scales.reshape(num_blocks, -1, 2), biases.reshape(num_blocks, -1, 2)
    weights = _weights(codes.reshape(num_blocks, -1, 2, 16), steps, zeros)
    scale, bias = _one_step(steps, zeros, weights.min(axis=-1), weights.max(axis=-1), most)
    weights -= bias.astype(np.float32)[..., None]
    weights /= np.where(scale == 0, np.float16(1), scale).astype(np.float32)[..., None]
    np.rint(weights, out=weights)
    np.clip(weights, 0, most, out=weights)
    return Blocks(weights.astype(np.uint8).reshape(num_blocks, -1), scale, bias)


def _weights(codes: Bytes, steps: Array, zeros: Array) -> Array:
    """What two groups of 16 stand for, side by side: [blocks, pairs, 32]."""
    weights = codes.astype(np.float32)
    weights *= steps[..., None]
    weights += zeros[..., None]
    return weights.reshape(*steps.shape[:-1], 32)


def _one_step(
    steps: Array, zeros: Array, lowest: Array, highest: Array, most: int
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Scale and bias, as f16, of weights from `lowest` to `highest` in codes from 0 to `most`."""
    is_second = np.abs(steps[..., 1]) > np.abs(steps[..., 0])
    larger = np.abs(np.where(is_second, steps[..., 1], steps[..., 0]))
    zero = np.where(is_second, zeros[..., 1], zeros[..., 0])
    span = highest - lowest
    with np.errstate(divide="ignore", invalid="ignore"):
        # Rounding both ends outwards may take one code too many: then the weight at one end loses a step, which costs
        # less than a coarser step for all.
        parts = np.floor(most * larger / span)
        step = larger / parts
        # Half of the weights are exact then: worth it until the step is the root of two coarser than it need be.
        is_aligned = (step * most <= np.float32(np.sqrt(2)) * span) & (span > 0)
        step = np.where(is_aligned, step, span / np.float32(most))
        bias = np.where(is_aligned, zero + np.rint((lowest - zero) / step) * step, lowest)
    scale = step.astype(np.float16)
    # Tiny steps lose bits in f16, and must not be too short to reach from end to end.
    scale = np.where(scale.astype(np.float32) * most < span, np.nextafter(scale, np.float16(np.inf)), scale)
    return scale, bias.astype(np.float16)
