"""What a model will take and what a token of it costs, from its config and the heads of its files alone (U3, S7).

Nothing is loaded and MLX is not asked. What cannot be told this way is None, with the reason beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pensieve.core.fit.kv_bytes import KVShape
from pensieve.core.fit.roofline import AttentionLayers, TokenCost
from pensieve.models.estimate.attention_layout import UnknownLayersError, attention_layers, kv_shape, text_config
from pensieve.models.loading.config import context_window_tokens
from pensieve.models.safetensors.headers import FLOATING, TensorHeader

_F32_BYTES: Final = 4
_OPERATIONS_PER_LAYER: Final = 22
"""Of a token in a layer of a llama: two norms, seven products, two turns, attention, two sums and the like."""
_DROPPED: Final = re.compile(
    r"(^|\.)(vision_tower|vision_model|visual|vision_embed_tokens|multi_modal_projector|audio_tower|embed_audio"
    r"|embed_vision|mtp|rotary_emb)\.|rotary_emb\.inv_freq$|\.(weight_scale_inv|input_scale|activation_scale)$"
)
"""What mlx-lm leaves out as it loads: the parts for pictures and sound, and what it computes itself."""
_STAYS_PACKED: Final = re.compile(r"\.(embed_q|unembed_out)$")
"""The latent's own products, which mlx-lm has no unpacking for."""
_EXPERT: Final = re.compile(r"\.(experts|switch_mlp|switch_glu)\.")
_LAYER: Final = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_TABLE: Final = re.compile(r"(^|\.)(embed_tokens|embed_in|wte|word_embeddings|tok_embeddings|embeddings|embedding)$")
_LOOKED_UP: Final = re.compile(r"(^|\.)(embed_tokens_per_layer|wpe|position_embeddings)$")
_HEAD: Final = re.compile(r"(^|\.)(lm_head|embed_out|output)$")
_STREAM: Final = re.compile(r"(embed|norm|wte|k_proj|v_proj|qkv|kv_|c_attn|attn|query_key_value)")
"""Modules whose type is that of keys and values."""
_NUM_EXPERTS: Final = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
_NUM_USED: Final = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k_experts")
_ESTIMATED: Final = frozenset(("awq", "gptq", "bitnet", "compressed-tensors", "modelopt"))


@dataclass(frozen=True, slots=True)
class Footprint:
    """`kv` and `work` are exact as far as `remarks` say nothing else. `kv_unknown` is the reason for a missing `kv`."""

    weights_bytes: int
    num_parameters: int
    window_tokens: int | None
    work: TokenCost
    kv: KVShape | None
    kv_unknown: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Module:
    name: str
    num_parameters: int
    held_bytes: int


def footprint(config: Mapping[str, Any], headers: Sequence[TensorHeader], *, dense: bool) -> Footprint:
    """`dense`: the device unpacks the weights to f32, as the CPU backend does (`pensieve.models.loading.load`)."""
    told = text_config(config)
    modules = list(_modules(config, told, headers, dense=dense))
    share, remarks = _used_share(told, modules)
    read = [module for module in modules if not _is_looked_up(module, modules)]
    number_bytes = _F32_BYTES if dense else _number_bytes(headers)
    kv, attention, unknown = _conversation(config, number_bytes)
    method = (config.get("quantization_config") or {}).get("quant_method")
    if method in _ESTIMATED:
        remarks.append(f"weights packed by {method} are repacked as they are loaded: their bytes are near, not exact")
    return Footprint(
        weights_bytes=sum(module.held_bytes for module in modules),
        num_parameters=sum(module.num_parameters for module in modules),
        window_tokens=context_window_tokens(config),
        work=TokenCost(
            bytes_per_token=int(sum(module.held_bytes * _share_of(module, share) for module in read)),
            active_parameters=int(sum(module.num_parameters * _share_of(module, share) for module in read)),
            attention=attention,
            num_operations=_OPERATIONS_PER_LAYER * _number(told, ("num_hidden_layers", "n_layer"), 0),
        ),
        kv=kv,
        kv_unknown=unknown,
        remarks=tuple(remarks),
    )


def activations_estimate(
    config: Mapping[str, Any], *, chunk_tokens: int, context_tokens: int, number_bytes: int, fused: bool
) -> int:
    """Bytes that reading a chunk of a prompt takes besides, roughly: what is true is measured when a model is loaded.

    Some rows of a token are alive at once: hidden ones, those of the heads, and the inner ones of the widest part.
    Unless attention is `fused`, so are the scores of the chunk's tokens with all before them, before and after softmax.
    """
    told = text_config(config)
    hidden, heads = _number(told, ("hidden_size", "n_embd"), 0), _number(told, ("num_attention_heads", "n_head"), 1)
    inner = _number(told, ("intermediate_size", "n_inner"), 4 * hidden)
    rows = chunk_tokens * (6 * hidden + 3 * inner) * number_bytes
    scores = 0 if fused else 2 * heads * chunk_tokens * context_tokens * number_bytes
    return rows + scores + 2 * _number(told, ("vocab_size",), 0) * _F32_BYTES


def _conversation(
    config: Mapping[str, Any], number_bytes: int
) -> tuple[KVShape | None, tuple[AttentionLayers, ...], str]:
    try:
        return kv_shape(config, number_bytes), attention_layers(config), ""
    except UnknownLayersError as error:
        return None, (), str(error)


def _modules(
    config: Mapping[str, Any], told: Mapping[str, Any], headers: Sequence[TensorHeader], *, dense: bool
) -> Iterable[_Module]:
    quantization = config.get("quantization") or config.get("quantization_config") or {}
    tied = bool(told.get("tie_word_embeddings"))
    num_layers = _number(told, ("num_hidden_layers", "n_layer"), 1 << 30)
    parts: dict[str, dict[str, TensorHeader]] = {}
    for header in headers:
        if _is_kept(header, num_layers) and not (tied and _HEAD.search(header.module)):
            parts.setdefault(header.module, {})[header.parameter] = header
    for name, module in parts.items():
        numbers = _num_parameters(module, _group_size(quantization, name))
        unpacks = dense and not _STAYS_PACKED.search(name)
        packed = numbers != sum(header.num_elements for header in module.values())
        held = sum(_held_bytes(header, dense=dense) for header in module.values())
        yield _Module(name, numbers, numbers * _F32_BYTES if unpacks and packed else held)


def _is_kept(header: TensorHeader, num_layers: int) -> bool:
    """mlx-lm drops what comes after the last layer: heads that guess several tokens at once."""
    layer = _LAYER.search(header.name)
    return not _DROPPED.search(header.name) and not (layer and int(layer[1]) >= num_layers)


def _held_bytes(header: TensorHeader, *, dense: bool) -> int:
    """A CPU has f32 alone. Elsewhere eight-bit floats are widened to bfloat16 as they are loaded."""
    if header.dtype in FLOATING and dense:
        return _F32_BYTES * header.num_elements
    return 2 * header.num_elements if header.dtype.startswith("F8_") else header.num_bytes


def _num_parameters(module: Mapping[str, TensorHeader], group_size: int) -> int:
    """Numbers that a module stands for: packed ones unpacked, without the scales and biases that they need."""
    packed, scales = module.get("weight"), module.get("scales")
    if packed is not None and scales is not None and packed.dtype in ("U32", "U8"):
        rest = [header for name, header in module.items() if name not in ("weight", "scales", "biases")]
        return scales.num_elements * group_size + sum(header.num_elements for header in rest)
    total = 0
    for name, header in module.items():
        if name.endswith("_blocks"):  # two numbers of four bits in a byte, as OpenAI publishes them
            total += 2 * header.num_elements
        elif not (name.endswith("_scales") and name.replace("_scales", "_blocks") in module):
            total += header.num_elements
    return total


def _group_size(quantization: Mapping[str, Any], module: str) -> int:
    own = quantization.get(module)
    chosen = own if isinstance(own, Mapping) else quantization
    return int(chosen.get("group_size") or (32 if str(chosen.get("quant_method", "")).startswith("mxfp") else 64))


def _used_share(told: Mapping[str, Any], modules: Iterable[_Module]) -> tuple[float, list[str]]:
    """Of the experts, those that a token goes through."""
    if not any(_EXPERT.search(module.name + ".") for module in modules):
        return 1.0, []
    num_experts, num_used = _number(told, _NUM_EXPERTS, 0), _number(told, _NUM_USED, 0)
    if not num_experts or not num_used:
        return 1.0, ["the config does not say how many experts a token goes through: as if it were all of them"]
    return min(1.0, num_used / num_experts), []


def _share_of(module: _Module, share: float) -> float:
    return share if _EXPERT.search(module.name + ".") else 1.0


def _is_looked_up(module: _Module, modules: Iterable[_Module]) -> bool:
    """A table of which a token takes one row: the embeddings, where they are not the output's matrix as well."""
    if _LOOKED_UP.search(module.name):
        return True
    return bool(_TABLE.search(module.name)) and any(_HEAD.search(other.name) for other in modules)


def _number_bytes(headers: Iterable[TensorHeader]) -> int:
    """Of a number of keys and values: the widest type of what they come through."""
    types = {
        header.dtype
        for header in headers
        if header.dtype in ("F32", "F16", "BF16") and _STREAM.search(header.name) and not _DROPPED.search(header.name)
    }
    return _F32_BYTES if "F32" in types or {"F16", "BF16"} <= types else 2


def _number(told: Mapping[str, Any], keys: Iterable[str], otherwise: int) -> int:
    """The first that is there."""
    for key in keys:
        value = told.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return otherwise
