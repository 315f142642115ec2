"""How positions are stretched over a longer context: from GGUF's metadata and tensors to mlx-lm's `rope_scaling`."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from pensieve.models.gguf.architectures.family import Config, Dimensions
from pensieve.models.gguf.metadata import ModelMetadata

ROPE_FREQS: Final = "rope_freqs.weight"
LONG_FACTORS: Final = "rope_factors_long.weight"
SHORT_FACTORS: Final = "rope_factors_short.weight"

_LLAMA3: Final = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Those of Llama 3.1 to 3.3: a file has the factors that they make, and not the numbers themselves."""
_ROUNDING: Final = 1e-5
"""Of one f32 computation against another, relative."""


def scaling_config(announced: ModelMetadata, dimensions: Dimensions, *, has_freqs: bool = False) -> Config:
    """`rope_scaling` where positions are stretched, else nothing.

    Raises:
        ModelLoadingError: in a way that mlx-lm's model cannot.
    """
    kind = announced.text("rope.scaling.type", "linear" if announced.has("rope.scale_linear") else "none")
    if has_freqs:
        if kind != "none":
            raise announced.error(f"its positions are scaled by {kind!r:.40} and by {ROPE_FREQS!r} at once")
        return _llama3(announced, dimensions)
    if kind == "none":
        _neutral_factor(announced)
        return {}
    if kind == "linear":
        factor = announced.real("rope.scaling.factor", announced.real("rope.scale_linear", 1.0))
        return {} if factor == 1.0 else {"rope_scaling": {"type": "linear", "factor": factor}}
    if kind == "yarn":
        return _yarn(announced)
    raise announced.error(f"its positions are scaled by {kind!r:.40}, which is not converted from GGUF")


def require_unscaled(announced: ModelMetadata) -> None:
    """For models that mlx-lm has no scaling for.

    Raises:
        ModelLoadingError: the file's positions are scaled.
    """
    kind = announced.text("rope.scaling.type", "none")
    if kind not in ("none", "linear"):
        raise announced.error(f"its positions are scaled by {kind!r:.40}, which mlx-lm's model of it does not do")
    _neutral_factor(announced)


def rotary_fraction(announced: ModelMetadata, dimensions: Dimensions) -> float:
    """The part of each head that turns with the position, such that `int(fraction * head)` is the file's number.

    Raises:
        ModelLoadingError: it is more than a head has, or odd.
    """
    rotary = announced.integer("rope.dimension_count", dimensions.head)
    if rotary > dimensions.head or rotary % 2:
        raise announced.error(f"{rotary} numbers of each head turn with the position, of {dimensions.head}")
    fraction = rotary / dimensions.head
    return fraction if int(fraction * dimensions.head) == rotary else math.nextafter(fraction, 2.0)


def validate_headers(announced: ModelMetadata, dimensions: Dimensions) -> None:
    """For models in which mlx-lm turns whole heads.

    Raises:
        ModelLoadingError: only a part of each head turns in the file's model.
    """
    if announced.integer("rope.dimension_count", dimensions.head) != dimensions.head:
        raise announced.error("only a part of each head turns with the position, which is not converted from GGUF")


def longrope(announced: ModelMetadata, rotary: int) -> Config:
    """Phi 3's factors, one for each pair of numbers that turns.

    mlx-lm uses the long ones at every length, and finds the scale of the numbers itself, so that must be the file's.

    Raises:
        ModelLoadingError: the factors are damaged, or the scale is another.
    """
    original = announced.integer("rope.scaling.original_context_length")
    scale = announced.integer("context_length") / original
    expected = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
    found = announced.real("rope.scaling.attn_factor", expected)
    if abs(found - expected) > _ROUNDING * expected:
        raise announced.error(f"its positions are scaled by a factor of {found}, where mlx-lm's model has {expected}")
    factors = {
        "long_factor": announced.vector(LONG_FACTORS, rotary // 2).tolist(),
        "short_factor": announced.vector(SHORT_FACTORS, rotary // 2).tolist(),
    }
    return {"rope_scaling": {"type": "longrope", **factors}}


def _neutral_factor(announced: ModelMetadata) -> None:
    for key in ("rope.scaling.factor", "rope.scale_linear"):
        factor = announced.real(key, 1.0)
        if factor != 1.0:
            raise announced.error(f"its positions are scaled by {factor}, which is not converted from GGUF")


def _yarn(announced: ModelMetadata) -> Config:
    return {
        "rope_scaling": {
            "type": "yarn",
            "factor": announced.real("rope.scaling.factor"),
            "original_max_position_embeddings": announced.integer("rope.scaling.original_context_length", least=2),
            "beta_fast": announced.real("rope.scaling.yarn_beta_fast", 32.0),
            "beta_slow": announced.real("rope.scaling.yarn_beta_slow", 1.0),
        }
    }


def _llama3(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    """The factor that makes the file's numbers, which mlx-lm then makes again."""
    found = announced.vector(ROPE_FREQS, dimensions.head // 2)
    factor = float(found.max())
    base = announced.real("rope.freq_base", 10000.0)
    wavelengths = 2 * math.pi * base ** (np.arange(0, dimensions.head, 2) / dimensions.head)
    low, high, original = (_LLAMA3[key] for key in _LLAMA3)
    smooth = np.clip((original / wavelengths - low) / (high - low), 0, 1)
    expected = 1 / ((1 - smooth) / factor + smooth)
    if np.abs(found / expected - 1).max() > _ROUNDING:
        raise announced.error(f"tensor {ROPE_FREQS!r} scales positions unlike Llama 3, which is not converted")
    if factor == 1.0:
        return {}
    return {"rope_scaling": {"rope_type": "llama3", "factor": factor, **_LLAMA3}}
