"""What each layer of a model keeps of a conversation, from config.json alone, as mlx-lm's models keep it.

Most of mlx-lm's models keep keys and values of every token in every layer. Those that do otherwise say so in
`make_cache`; the ones below are known here, and the tests hold each against mlx-lm's own. Of any other, nothing is
said: a guess about memory would be a promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
"""These follow `layer_types`; the others of mlx-lm do not look at it, even where a config has it."""
_BY_INTERVAL: Final = frozenset(["qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"])
_BY_PATTERN: Final = {"gemma3": 6, "gemma3_text": 6, "cohere2": 4}
_RECURRENT: Final = frozenset(["mamba", "falcon_mamba", "mamba2"])
_LATENT: Final = frozenset(["deepseek_v3", "glm4_moe_lite", "joyai_llm_flash", "kimi_k2", "mistral4", "youtu_llm"])
"""Latent attention whose cache is the latent itself."""
_EXPANDED: Final = frozenset(("deepseek_v2", "minicpm3"))
"""Latent attention whose cache is every head's keys and values, made from the latent."""
_UNKNOWN: Final = frozenset((
    "afm7", "baichuan_m1", "bailing_hybrid", "bailing_moe_linear", "bailing_moe_v3", "dbrx", "deepseek_v32",
    "deepseek_v41", "deepseek_v41_text", "exaone4", "exaone_moe", "falcon_h1", "gear", "glm_moe_dsa",
    "iquestloopcoder", "jamba", "kimi_k25", "kimi_k3", "kimi_linear", "kimi_vl", "llama4", "llama4_text",
    "longcat_flash", "longcat_flash_ngram", "mimo_v2_flash", "minimax_m3_vl", "muse_glimmer", "muse_spark",
    "nanbeige", "nemotron-nas", "nemotron_h", "olmo_hybrid", "openelm", "plamo2", "plamo3",
    "prism_hadamard_qwen35", "recurrent_gemma", "rwkv7", "spark2_5", "step3p5",
))  # fmt: skip
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
    """The config does not say what a conversation takes, or not in a way that is known here. The message says why."""


@dataclass(frozen=True, slots=True)
class _Layer:
    kv: KVLayers | None
    attention: AttentionLayers


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the part that reads text, with what mlx-lm supposes where nothing is said."""
    part = config.get("text_config")
    model_type = config.get("model_type")
    told = {**config, **part} if isinstance(part, Mapping) else dict(config)
    told["model_type"] = model_type
    return {**_DEFAULTS.get(str(model_type), {}), **{key: value for key, value in told.items() if value is not None}}


def kv_shape(config: Mapping[str, Any], number_bytes: int) -> KVShape:
    """What a conversation takes, numbers of keys and values being of `number_bytes`.

    Raises:
        UnknownLayersError: the architecture is not known here, or a figure is missing or no number.
    """
    with _as_unknown(config):
        told = text_config(config)
        kept = [layer.kv for layer in _layers(told) if layer.kv is not None]
        return KVShape(tuple(_joined(kept)), number_bytes, state_bytes(told, _num_states(told), number_bytes))


def attention_layers(config: Mapping[str, Any]) -> tuple[AttentionLayers, ...]:
    """Which layers compare tokens with each other.

    Raises:
        UnknownLayersError: as above.
    """
    with _as_unknown(config):
        counts: dict[tuple[int, int | None], int] = {}
        for layer in _layers(text_config(config)):
            key = (layer.attention.width, layer.attention.window_tokens)
            counts[key] = counts.get(key, 0) + 1
        return tuple(AttentionLayers(count, width, window) for (width, window), count in counts.items())


class _as_unknown:  # noqa: N801 - used as a function
    """Damaged configs fail in many ways; all of them mean that nothing can be said."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._model_type = config.get("model_type")

    def __enter__(self) -> None:
        if self._model_type in _UNKNOWN:
            raise UnknownLayersError(f"what a conversation takes is not known for the architecture {self._model_type}")

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, (KeyError, TypeError, ValueError, ZeroDivisionError, StateError)):
            missing = f"lacks {error.args[0]!r}" if isinstance(error, KeyError) else f"cannot be understood: {error}"
            raise UnknownLayersError(f"config.json {missing}") from error


def _layers(told: Mapping[str, Any]) -> Iterator[_Layer]:
    """Those with attention. Shared ones attend and keep nothing."""
    kinds = _kinds(told)
    num_keeping = len(kinds) - int(told.get("num_kv_shared_layers") or 0) if _is_gemma(told) else len(kinds)
    for index, kind in enumerate(kinds):
        if kind == "state":
            continue
        window = int(told["sliding_window"]) if kind == "window" else None
        heads, rows = _rows(told, is_full=kind == "full")
        attention = AttentionLayers(1, _attention_width(told, rows), window)
        yield _Layer(KVLayers(1, heads, rows, window) if index < num_keeping else None, attention)


def _kinds(told: Mapping[str, Any]) -> list[str]:
    """full, window or state, for each layer."""
    model_type, num_layers = told["model_type"], int(told["num_hidden_layers"])
    if model_type in _RECURRENT:
        return ["state"] * num_layers
    if model_type in _BY_INTERVAL:
        interval = int(told.get("full_attention_interval", 4))
        return ["state" if (index + 1) % interval else "full" for index in range(num_layers)]
    if model_type in _BY_PATTERN:
        pattern = int(told.get("sliding_window_pattern", _BY_PATTERN[model_type]))
        return ["window" if (index + 1) % pattern else "full" for index in range(num_layers)]
    if model_type in _BY_LAYER_TYPES:
        return [_kind(layer_type) for layer_type in _layer_types(told, num_layers)]
    return ["full"] * num_layers


def _kind(layer_type: str) -> str:
    if layer_type in _FULL:
        return "full"
    return "window" if layer_type in ("sliding_attention", "chunked_attention") else "state"


def _layer_types(told: Mapping[str, Any], num_layers: int) -> Sequence[str]:
    if told.get("layer_types"):
        return list(told["layer_types"])[:num_layers]
    model_type = told["model_type"]
    if model_type.startswith("lfm2"):
        full = set(told["full_attn_idxs"])
        return ["full_attention" if index in full else "conv" for index in range(num_layers)]
    alternating = {"gpt_oss": 2, "olmo3": 4, "gemma4": 5, "gemma4_text": 5, "gemma4_unified": 5}
    every = int(told.get("sliding_window_pattern", alternating[model_type])) if model_type in alternating else 1
    return ["sliding_attention" if (index + 1) % every else "full_attention" for index in range(num_layers)]


def _rows(told: Mapping[str, Any], *, is_full: bool) -> tuple[int, tuple[int, int]]:
    """Heads that are kept, and the sizes of a key's and a value's row."""
    model_type = told["model_type"]
    if model_type in _LATENT:
        return 1, (int(told["kv_lora_rank"]), int(told["qk_rope_head_dim"]))
    num_heads = int(told["num_attention_heads"])
    if model_type in _EXPANDED:
        key = int(told["qk_nope_head_dim"]) + int(told["qk_rope_head_dim"])
        value = int(told.get("v_head_dim") or int(told["hidden_size"]) // num_heads)
        return num_heads, (key, value)
    num_kept = int(told.get("num_key_value_heads") or num_heads)
    size = _head_size(told, num_heads)
    if model_type.startswith("gemma4") and is_full:
        size = int(told.get("global_head_dim") or size)
        if told.get("attention_k_eq_v"):
            num_kept = int(told.get("num_global_key_value_heads") or num_kept)
    return num_kept, (size, size)


def _head_size(told: Mapping[str, Any], num_heads: int) -> int:
    """As said; some models of mlx-lm do not look at `head_dim` and divide."""
    divides = told["model_type"] in ("granitemoehybrid", "lfm2", "lfm2_moe", "phi3", "qwen2")
    return int(told["hidden_size"]) // num_heads if divides or "head_dim" not in told else int(told["head_dim"])


def _attention_width(told: Mapping[str, Any], rows: tuple[int, int]) -> int:
    """Numbers of all heads' query and value rows: what a token's comparison with another multiplies."""
    if told["model_type"] in _LATENT:  # compared in the latent: a head's query is as wide as the latent and its turn
        return int(told["num_attention_heads"]) * (2 * rows[0] + rows[1])
    return int(told["num_attention_heads"]) * sum(rows)


def _num_states(told: Mapping[str, Any]) -> int:
    return _kinds(told).count("state")


def _is_gemma(told: Mapping[str, Any]) -> bool:
    return str(told["model_type"]).startswith(("gemma3n", "gemma4"))


def _joined(layers: Sequence[KVLayers]) -> Iterator[KVLayers]:
    """Layers that are alike as one entry, in the order of the first of each."""
    for first in dict.fromkeys(layers):
        yield KVLayers(layers.count(first), first.num_heads, first.row_sizes, first.window_tokens)
