"""Numbers of config.json that no model has, found before a model of that size is built."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError

_LARGEST: Final[Mapping[str, int]] = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 1_000),
    **dict.fromkeys(
        ("num_attention_heads", "num_key_value_heads", "n_head", "head_dim", "num_experts", "num_local_experts",
         "n_routed_experts", "group_size", "bits"),
        100_000,
    ),
    **dict.fromkeys(("vocab_size", "hidden_size", "intermediate_size", "n_embd"), 10_000_000),
    **dict.fromkeys(("max_position_embeddings", "max_sequence_length", "max_seq_len", "seq_length", "n_positions"),
                    1_000_000_000),
}  # fmt: skip
"""Several times what the largest models have."""
_ROPE: Final = ("rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor")
_OBJECTS: Final = ("quantization", "quantization_config", "rope_parameters", "rope_scaling", "text_config")
_TEXTS: Final = ("quant_method", "model_type")
_MAX_DEPTH: Final = 20


def require_possible(source: str, path: Path, config: Mapping[str, Any]) -> None:
    """
    Raises:
        ModelLoadingError: a number is one that no model can have; it names the file and the setting.
    """
    for name, value in _settings(config, depth=0):
        problem = _problem(name, value)
        if problem:
            raise ModelLoadingError(source, f"{path}: {name} is {repr(value)[:40]}, {problem}; fetch the file again")


def _settings(config: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    """The settings of all parts."""
    if depth > _MAX_DEPTH:
        return
    for name, value in config.items():
        yield name, value
        if isinstance(value, Mapping):
            yield from _settings(value, depth + 1)
            if name in _ROPE:
                yield from ((f"{name}.{key}", number) for key, number in value.items() if _is_number(number))


def _problem(name: str, value: Any) -> str:
    if name in _OBJECTS and value and not isinstance(value, Mapping):
        return "where an object is needed"
    if name in _TEXTS and value is not None and not isinstance(value, str):
        return "where a text is needed"
    if name in _LARGEST and value is not None and not isinstance(value, (list, Mapping)):
        return "" if _is_count(value, _LARGEST[name]) else f"where a whole number up to {_LARGEST[name]:,} is needed"
    if name.partition(".")[0] in _ROPE and _is_number(value):
        return "" if 0 <= value <= sys.float_info.max else "where a finite number of at least 0 is needed"
    return "where a number is needed" if isinstance(value, float) and math.isnan(value) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any, largest: int) -> bool:
    return _is_number(value) and 0 <= value <= largest and value == int(value)
