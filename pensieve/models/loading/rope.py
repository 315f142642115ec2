"""RoPE settings of transformers 5, converted to the older keys that mlx-lm's models read.

transformers 5 moved `rope_theta`, `rope_scaling` and `partial_rotary_factor` into `rope_parameters`: one object, or one
for each layer type (`RotaryEmbeddingConfigMixin` in its modeling_rope_utils.py). Most models of mlx-lm read only the
older keys and silently fall back to a default base: their output is then wrong beyond a few hundred tokens.

Models ignore keys that they do not read, so every older spelling is set for every architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_Parameters = Mapping[str, Any]

_MAIN: Final = ("full_attention", "main")
"""The layer types that the older keys without a prefix describe; `main` is DeepSeek V4's."""
_LOCAL: Final = "sliding_attention"
_COMPRESSED: Final = "compress"
_THETA_KEYS: Final = ("rope_theta", "rotary_emb_base")
_LOCAL_THETA_KEYS: Final = ("rope_local_base_freq", "rope_local_theta", "swa_rope_theta")
_FACTOR_KEYS: Final = ("partial_rotary_factor", "rotary_pct")
_NOT_SCALING: Final = frozenset(("rope_theta", "partial_rotary_factor", "type", "rope_type"))


def with_older_rope_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the older keys in addition to `rope_parameters`. If it already has `rope_scaling`, its own older
    keys take precedence, as in transformers.
    """
    parameters = config.get("rope_parameters")
    if not isinstance(parameters, Mapping) or not parameters:
        return dict(config)
    older = _older_keys(config, parameters)
    if config.get("rope_scaling"):
        return {**older, **{key: value for key, value in config.items() if value is not None or key not in older}}
    return {**config, **older}


def _older_keys(config: Mapping[str, Any], parameters: _Parameters) -> dict[str, Any]:
    by_type = {str(name): part for name, part in parameters.items() if isinstance(part, Mapping)}
    main = next((by_type[name] for name in _MAIN if name in by_type), None)
    if main is None:
        main = next(iter(by_type.values()), parameters)
    factor = _shared_factor(list(by_type.values()) or [parameters])
    scaled = by_type.get(_COMPRESSED, main)
    older: dict[str, Any] = {"rope_scaling": _scaling(scaled)}
    older |= _set_all(_THETA_KEYS, main.get("rope_theta"))
    older |= _set_all(_LOCAL_THETA_KEYS, by_type.get(_LOCAL, {}).get("rope_theta"))
    older |= _set_all(("compress_rope_theta",), by_type.get(_COMPRESSED, {}).get("rope_theta"))
    older |= _set_all(_FACTOR_KEYS, factor)
    older |= _set_all(("original_max_position_embeddings",), main.get("original_max_position_embeddings"))
    return older | _family_keys(config, by_type, main, factor)


def _set_all(keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    return dict.fromkeys(keys, value) if value is not None else {}


def _scaling(parameters: _Parameters) -> dict[str, Any] | None:
    """The older `rope_scaling`, with its type under both names: models of mlx-lm read either."""
    kind = parameters.get("rope_type") or parameters.get("type") or "default"
    if kind == "default":
        return None
    settings = {key: value for key, value in parameters.items() if key not in _NOT_SCALING}
    return {**settings, "type": kind, "rope_type": kind}


def _shared_factor(parts: list[_Parameters]) -> Any:
    """The rotated fraction of a head if all layers agree; a single key cannot express more."""
    factors = {part.get("partial_rotary_factor") for part in parts}
    return factors.pop() if len(factors) == 1 else None


def _family_keys(
    config: Mapping[str, Any], by_type: Mapping[str, _Parameters], main: _Parameters, factor: Any
) -> dict[str, Any]:
    """Keys that only one architecture reads."""
    model_type, theta = config.get("model_type"), main.get("rope_theta")
    if model_type in ("minimax", "minimax_m2") and "rotary_dim" not in config and config.get("head_dim"):
        return {"rotary_dim": int(config["head_dim"] * (factor or 1.0))}
    if model_type == "dbrx" and isinstance(config.get("attn_config"), Mapping):
        return {"attn_config": {**config["attn_config"], "rope_theta": theta}}
    if model_type == "solar_open" and factor is None:
        return {"partial_rotary_factor": config.get("partial_rotary_factor", 1.0)}
    if model_type == "step3p5" and by_type and config.get("layer_types"):
        return _layer_lists(config["layer_types"], by_type, main)
    return {}


def _layer_lists(layer_types: list[str], by_type: Mapping[str, _Parameters], main: _Parameters) -> dict[str, list[Any]]:
    """Step 3.5 reads a base and a factor for each layer."""
    layers = [by_type.get(layer_type, main) for layer_type in layer_types]
    return {
        "rope_theta": [layer.get("rope_theta", main.get("rope_theta")) for layer in layers],
        "partial_rotary_factors": [layer.get("partial_rotary_factor", 1.0) for layer in layers],
        "yarn_only_types": [name for name, part in by_type.items() if _scaling(part) is not None],
    }
