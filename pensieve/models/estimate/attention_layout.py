"""What each layer of a model caches of a conversation, derived from config.json alone.

Most models of mlx-lm cache keys and values of every token in every layer. The others define `make_cache`; those listed
below are supported, and a test compares each with mlx-lm's own caches. For the rest there is no estimate, since a wrong
one could exhaust the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from pensieve.core.fit.kv_bytes import KVLayers, KVShape
from pensieve.core.fit.roofline import AttentionLayers
from pensieve.models.estimate.recurrent_states import StateError, state_bytes

_BY_LAYER_TYPES: Final = frozenset((
    "afmoe", "gemma3n", "gemma3n_text", "gemma4", "gemma4_text", "gemma4_unified", "gpt_oss", "granitemoehybrid",
    "iquestcoder", "laguna", "lfm2", "lfm2_moe", "llama", "mellum", "ministral3", "mistral", "mistral3", "olmo3",
    "xverse",
))  # fmt: skip
"""Models that follow `layer_types`. The other models of mlx-lm ignore it."""
_BY_INTERVAL: Final = frozenset(["qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"])
_BY_PATTERN: Final = {"gemma3": 6, "gemma3_text": 6, "cohere2": 4}
_RECURRENT: Final = frozenset(["mamba", "falcon_mamba", "mamba2"])
_LATENT: Final = frozenset(["deepseek_v3", "glm4_moe_lite", "joyai_llm_flash", "kimi_k2", "mistral4", "youtu_llm"])
"""Latent attention that caches the latent itself."""
_EXPANDED: Final = frozenset(("deepseek_v2", "minicpm3"))
"""Latent attention that caches every head's keys and values, computed from the latent."""
_UNKNOWN: Final = frozenset((
    "afm7", "baichuan_m1", "bailing_hybrid", "bailing_moe_linear", "bailing_moe_v3", "dbrx", "deepseek_v32",
    "deepseek_v41", "deepseek_v41_text", "exaone4", "exaone_moe", "falcon_h1", "gear", "glm_moe_dsa",
    "iquestloopcoder", "jamba", "kimi_k25", "kimi_k3", "kimi_linear", "kimi_vl", "llama4", "llama4_text",
    "longcat_flash", "longcat_flash_ngram", "mimo_v2_flash", "minimax_m3_vl", "muse_glimmer", "muse_spark",
    "nanbeige", "nemotron-nas", "nemotron_h", "olmo_hybrid", "openelm", "plamo2", "plamo3",
    "prism_hadamard_qwen35", "recurrent_gemma", "rwkv7", "spark2_5", "step3p5",
))  # fmt: skip
NAMED: Final = _BY_LAYER_TYPES | _BY_INTERVAL | _BY_PATTERN.keys() | _RECURRENT | _LATENT | _EXPANDED | _UNKNOWN
"""The architectures of mlx-lm that are not the usual attention in every layer."""
_FULL: Final = frozenset(("full_attention", "attention"))
_GEMMA_DEFAULTS: Final = {"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "sliding_window": 512}
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "gemma3": {**_GEMMA_DEFAULTS, "num_key_value_heads": 4, "num_hidden_layers": 26},
    "gemma3_text": {**_GEMMA_DEFAULTS, "num_attention_heads": 4, "num_hidden_layers": 26},
    "gemma4": {**_GEMMA_DEFAULTS, "num_hidden_layers": 35, "num_kv_shared_layers": 20, "global_head_dim": 512},
    "gemma4_text": {**_GEMMA_DEFAULTS, "num_hidden_layers": 35, "num_kv_shared_layers": 20, "global_head_dim": 512},
    "gpt_oss": {"head_dim": 64, "num_key_value_heads": 8, "num_attention_heads": 64, "sliding_window": 128},
    "qwen3_5": {"num_key_value_heads": 8},
    "qwen3_5_moe": {"num_key_value_heads": 8},
}


class UnknownLayersError(ValueError):
    """The cache of a conversation cannot be derived from the config; the message states why."""


@dataclass(frozen=True, slots=True)
class _Layer:
    kv: KVLayers | None
    attention: AttentionLayers


def text_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the part that reads text, with mlx-lm's defaults for missing ones."""
    part = config.get("text_config")
    model_type = config.get("model_type")
    settings = {**config, **part} if isinstance(part, Mapping) else dict(config)
    settings["model_type"] = model_type
    return {
        **_DEFAULTS.get(str(model_type), {}),
        **{key: value for key, value in settings.items() if value is not None},
    }


def kv_shape(config: Mapping[str, Any], number_bytes: int) -> KVShape:
    """The shape of a conversation's cache; each number in it takes `number_bytes`.

    Raises:
        UnknownLayersError: the architecture is not supported, or a setting is missing or not a number.
    """
    with _errors_as_unknown(config):
        settings = text_settings(config)
        caching = [layer.kv for layer in _layers(settings) if layer.kv is not None]
        states_bytes = state_bytes(settings, _kinds(settings).count("state"), number_bytes)
        return KVShape(tuple(_merged(caching)), number_bytes, states_bytes)


def attention_layers(config: Mapping[str, Any]) -> tuple[AttentionLayers, ...]:
    """The layers with attention, grouped by width and window.

    Raises:
        UnknownLayersError: as `kv_shape`.
    """
    with _errors_as_unknown(config):
        counts: dict[tuple[int, int | None], int] = {}
        for layer in _layers(text_settings(config)):
            key = (layer.attention.width, layer.attention.window_tokens)
            counts[key] = counts.get(key, 0) + 1
        return tuple(AttentionLayers(count, width, window) for (width, window), count in counts.items())


@contextmanager
def _errors_as_unknown(config: Mapping[str, Any]) -> Iterator[None]:
    """Turn the many errors of a damaged config into an UnknownLayersError."""
    model_type = config.get("model_type")
    if model_type in _UNKNOWN:
        raise UnknownLayersError(f"the cache of the architecture {model_type} is not known")
    try:
        yield
    except KeyError as error:
        raise UnknownLayersError(f"config.json has no {error.args[0]!r}") from error
    except StateError as error:
        raise UnknownLayersError(str(error)) from error
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise UnknownLayersError(f"config.json has an invalid value: {error}") from error


def _layers(settings: Mapping[str, Any]) -> Iterator[_Layer]:
    """The layers with attention. A layer that shares another's keys and values has attention, but caches nothing."""
    kinds = _kinds(settings)
    num_caching = len(kinds) - int(settings.get("num_kv_shared_layers") or 0) if _is_gemma(settings) else len(kinds)
    for index, kind in enumerate(kinds):
        if kind == "state":
            continue
        window = int(settings["sliding_window"]) if kind == "window" else None
        heads, rows = _rows(settings, is_full=kind == "full")
        attention = AttentionLayers(1, _attention_width(settings, rows), window)
        yield _Layer(KVLayers(1, heads, rows, window) if index < num_caching else None, attention)


def _kinds(settings: Mapping[str, Any]) -> list[str]:
    """`full`, `window` or `state` for each layer."""
    model_type, num_layers = settings["model_type"], int(settings["num_hidden_layers"])
    if model_type in _RECURRENT:
        return ["state"] * num_layers
    if model_type in _BY_INTERVAL:
        interval = int(settings.get("full_attention_interval", 4))
        return ["state" if (index + 1) % interval else "full" for index in range(num_layers)]
    if model_type in _BY_PATTERN:
        pattern = int(settings.get("sliding_window_pattern", _BY_PATTERN[model_type]))
        return ["window" if (index + 1) % pattern else "full" for index in range(num_layers)]
    if model_type in _BY_LAYER_TYPES:
        return [_kind(layer_type) for layer_type in _layer_types(settings, num_layers)]
    return ["full"] * num_layers


def _kind(layer_type: str) -> str:
    if layer_type in _FULL:
        return "full"
    return "window" if layer_type in ("sliding_attention", "chunked_attention") else "state"


def _layer_types(settings: Mapping[str, Any], num_layers: int) -> Sequence[str]:
    if settings.get("layer_types"):
        return list(settings["layer_types"])[:num_layers]
    model_type = settings["model_type"]
    if model_type.startswith("lfm2"):
        full = set(settings["full_attn_idxs"])
        return ["full_attention" if index in full else "conv" for index in range(num_layers)]
    alternating = {"gpt_oss": 2, "olmo3": 4, "gemma4": 5, "gemma4_text": 5, "gemma4_unified": 5}
    every = int(settings.get("sliding_window_pattern", alternating[model_type])) if model_type in alternating else 1
    return ["sliding_attention" if (index + 1) % every else "full_attention" for index in range(num_layers)]


def _rows(settings: Mapping[str, Any], *, is_full: bool) -> tuple[int, tuple[int, int]]:
    """The number of cached heads, and the row sizes of a key and a value."""
    model_type = settings["model_type"]
    if model_type in _LATENT:
        return 1, (int(settings["kv_lora_rank"]), int(settings["qk_rope_head_dim"]))
    num_heads = int(settings["num_attention_heads"])
    if model_type in _EXPANDED:
        key = int(settings["qk_nope_head_dim"]) + int(settings["qk_rope_head_dim"])
        value = int(settings.get("v_head_dim") or int(settings["hidden_size"]) // num_heads)
        return num_heads, (key, value)
    num_cached = int(settings.get("num_key_value_heads") or num_heads)
    size = _head_size(settings, num_heads)
    if model_type.startswith("gemma4") and is_full:
        size = int(settings.get("global_head_dim") or size)
        if settings.get("attention_k_eq_v"):
            num_cached = int(settings.get("num_global_key_value_heads") or num_cached)
    return num_cached, (size, size)


def _head_size(settings: Mapping[str, Any], num_heads: int) -> int:
    """`head_dim` if it is set; some models of mlx-lm ignore it and divide the hidden size."""
    divides = settings["model_type"] in ("granitemoehybrid", "lfm2", "lfm2_moe", "phi3", "qwen2")
    if divides or "head_dim" not in settings:
        return int(settings["hidden_size"]) // num_heads
    return int(settings["head_dim"])


def _attention_width(settings: Mapping[str, Any], rows: tuple[int, int]) -> int:
    """The size of all heads' query and value rows together: the multiplications per pair of tokens."""
    if settings["model_type"] in _LATENT:  # in the latent space, a query is as wide as the latent and its RoPE part
        return int(settings["num_attention_heads"]) * (2 * rows[0] + rows[1])
    return int(settings["num_attention_heads"]) * sum(rows)


def _is_gemma(settings: Mapping[str, Any]) -> bool:
    return str(settings["model_type"]).startswith(("gemma3n", "gemma4"))


def _merged(layers: Sequence[KVLayers]) -> Iterator[KVLayers]:
    """One entry for equal layers, in order of first occurrence."""
    for first in dict.fromkeys(layers):
        yield KVLayers(layers.count(first), first.num_heads, first.row_sizes, first.window_tokens)
