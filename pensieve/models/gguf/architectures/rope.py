"""RoPE scaling and partial rotary embeddings: from GGUF's metadata and tensors to the keys of config.json."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from pensieve.models.gguf.architectures.family import Config, Dimensions
from pensieve.models.gguf.metadata import GgufMetadata

ROPE_FREQS: Final = "rope_freqs.weight"
LONG_FACTORS: Final = "rope_factors_long.weight"
SHORT_FACTORS: Final = "rope_factors_short.weight"

_LLAMA3: Final = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""The parameters of Llama 3.1 to 3.3. A GGUF file only has the factors that were computed from them."""
_MAX_ROUNDING: Final = 1e-5
"""The relative difference between two f32 computations of the same value."""


def scaling_config(metadata: GgufMetadata, dimensions: Dimensions, *, has_freqs: bool = False) -> Config:
    """The key `rope_scaling`, or an empty config if positions are not scaled.

    Raises:
        ModelLoadingError: mlx-lm's model does not support the scaling.
    """
    scaling_type = metadata.string("rope.scaling.type", "linear" if metadata.has("rope.scale_linear") else "none")
    if has_freqs:
        if scaling_type != "none":
            raise metadata.error(f"RoPE is scaled by {scaling_type!r:.40} and by tensor {ROPE_FREQS!r} at once")
        return _llama3(metadata, dimensions)
    if scaling_type == "none":
        _require_neutral_factor(metadata)
        return {}
    if scaling_type == "linear":
        factor = metadata.positive_float("rope.scaling.factor", metadata.positive_float("rope.scale_linear", 1.0))
        return {} if factor == 1.0 else {"rope_scaling": {"type": "linear", "factor": factor}}
    if scaling_type == "yarn":
        return _yarn(metadata)
    raise metadata.error(f"RoPE scaling of type {scaling_type!r:.40} cannot be converted from GGUF")


def require_unscaled(metadata: GgufMetadata) -> None:
    """For models whose positions mlx-lm cannot scale.

    Raises:
        ModelLoadingError: the file's positions are scaled.
    """
    scaling_type = metadata.string("rope.scaling.type", "none")
    if scaling_type not in ("none", "linear"):
        raise metadata.error(f"mlx-lm does not support RoPE scaling of type {scaling_type!r:.40} for this architecture")
    _require_neutral_factor(metadata)


def rotary_fraction(metadata: GgufMetadata, dimensions: Dimensions) -> float:
    """The `partial_rotary_factor`: `int(fraction * head_dim)` is exactly the file's number of rotary dimensions.

    Raises:
        ModelLoadingError: that number is odd, or larger than a head.
    """
    rotary = metadata.integer("rope.dimension_count", dimensions.head_dim)
    if rotary > dimensions.head_dim or rotary % 2:
        message = f"{rotary} rotary dimensions do not fit heads of {dimensions.head_dim}, or are odd"
        raise metadata.error(message)
    fraction = rotary / dimensions.head_dim
    return fraction if int(fraction * dimensions.head_dim) == rotary else math.nextafter(fraction, 2.0)


def require_full_rotary(metadata: GgufMetadata, dimensions: Dimensions) -> None:
    """For models in which mlx-lm rotates whole heads.

    Raises:
        ModelLoadingError: the file's model rotates only some dimensions of each head.
    """
    if metadata.integer("rope.dimension_count", dimensions.head_dim) != dimensions.head_dim:
        raise metadata.error("partial rotary embeddings cannot be converted from GGUF for this architecture")


def longrope_config(metadata: GgufMetadata, rotary: int) -> Config:
    """Phi 3's longrope scaling, with one factor for each pair of the `rotary` dimensions.

    mlx-lm uses the long factors at every length. It computes the attention factor itself, so the file's must be equal.

    Raises:
        ModelLoadingError: the factors are damaged, or the attention factor differs.
    """
    original = metadata.integer("rope.scaling.original_context_length")
    scale = metadata.integer("context_length") / original
    expected = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
    found = metadata.positive_float("rope.scaling.attn_factor", expected)
    if abs(found - expected) > _MAX_ROUNDING * expected:
        raise metadata.error(f"the RoPE attention factor is {found}, but mlx-lm's model uses {expected}")
    factors = {
        "long_factor": metadata.f32_vector(LONG_FACTORS, rotary // 2).tolist(),
        "short_factor": metadata.f32_vector(SHORT_FACTORS, rotary // 2).tolist(),
    }
    return {"rope_scaling": {"type": "longrope", **factors}}


def _require_neutral_factor(metadata: GgufMetadata) -> None:
    for key in ("rope.scaling.factor", "rope.scale_linear"):
        factor = metadata.positive_float(key, 1.0)
        if factor != 1.0:
            raise metadata.error(f"RoPE scaling by a factor of {factor} cannot be converted from GGUF")


def _yarn(metadata: GgufMetadata) -> Config:
    return {
        "rope_scaling": {
            "type": "yarn",
            "factor": metadata.positive_float("rope.scaling.factor"),
            "original_max_position_embeddings": metadata.integer("rope.scaling.original_context_length", minimum=2),
            "beta_fast": metadata.positive_float("rope.scaling.yarn_beta_fast", 32.0),
            "beta_slow": metadata.positive_float("rope.scaling.yarn_beta_slow", 1.0),
        }
    }


def _llama3(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    """The scaling factor that the file's frequency factors were computed from; mlx-lm computes them from it again."""
    found = metadata.f32_vector(ROPE_FREQS, dimensions.head_dim // 2)
    factor = float(found.max())
    base = metadata.positive_float("rope.freq_base", 10000.0)
    wavelengths = 2 * math.pi * base ** (np.arange(0, dimensions.head_dim, 2) / dimensions.head_dim)
    low, high, original = (_LLAMA3[key] for key in _LLAMA3)
    smooth = np.clip((original / wavelengths - low) / (high - low), 0, 1)
    expected = 1 / ((1 - smooth) / factor + smooth)
    if np.abs(found / expected - 1).max() > _MAX_ROUNDING:
        raise metadata.error(f"tensor {ROPE_FREQS!r} does not hold Llama 3's RoPE scaling, the only one supported")
    if factor == 1.0:
        return {}
    return {"rope_scaling": {"rope_type": "llama3", "factor": factor, **_LLAMA3}}
