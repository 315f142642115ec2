"""A model's memory use and its cost per token, from its config and weight headers alone (U3, S7).

Nothing is loaded, and MLX is not used. A value that cannot be derived is None, with the reason beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pensieve.core.fit.kv_bytes import KVShape
from pensieve.core.fit.roofline import AttentionLayers, TokenCost
from pensieve.models.estimate.attention_layout import UnknownLayersError, attention_layers, kv_shape, text_settings
from pensieve.models.loading.config import context_window_tokens
from pensieve.models.mtp.names import head_names
from pensieve.models.safetensors.headers import FLOATING, TensorHeader

_F32_BYTES: Final = 4
_OPERATIONS_PER_LAYER: Final = 22
"""Per token in a llama layer: two norms, seven products, two rotations, attention, two sums and some small ones."""
_DROPPED: Final = re.compile(
    r"(^|\.)(vision_tower|vision_model|visual|vision_embed_tokens|multi_modal_projector|audio_tower|embed_audio"
    r"|embed_vision|mtp|rotary_emb)\.|rotary_emb\.inv_freq$|\.(weight_scale_inv|input_scale|activation_scale)$"
)
"""Tensors that mlx-lm drops on loading: those for images and sound, and those that it computes itself."""
_STAYS_PACKED: Final = re.compile(r"\.(embed_q|unembed_out)$")
"""Products of latent attention, which mlx-lm cannot unpack."""
_EXPERT: Final = re.compile(r"\.(experts|switch_mlp|switch_glu)\.")
_LAYER: Final = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_TABLE: Final = re.compile(r"(^|\.)(embed_tokens|embed_in|wte|word_embeddings|tok_embeddings|embeddings|embedding)$")
_LOOKED_UP: Final = re.compile(r"(^|\.)(embed_tokens_per_layer|wpe|position_embeddings)$")
_HEAD: Final = re.compile(r"(^|\.)(lm_head|embed_out|output)$")
_STREAM: Final = re.compile(r"(embed|norm|wte|k_proj|v_proj|qkv|kv_|c_attn|attn|query_key_value)")
"""Modules whose type keys and values have."""
_NUM_EXPERTS: Final = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
_NUM_ACTIVE: Final = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k_experts")
_ESTIMATED: Final = frozenset(("awq", "gptq", "bitnet", "compressed-tensors", "modelopt"))


@dataclass(frozen=True, slots=True)
class Footprint:
    """`remarks` list what is not exact. `kv_unknown` is the reason for a missing `kv`. `mtp_bytes` are those of the MTP
    head, which is not part of the model: 0 without one.
    """

    weights_bytes: int
    num_parameters: int
    window_tokens: int | None
    token_cost: TokenCost
    kv: KVShape | None
    kv_unknown: str
    remarks: tuple[str, ...] = ()
    mtp_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Module:
    name: str
    num_parameters: int
    held_bytes: int


def footprint(config: Mapping[str, Any], headers: Sequence[TensorHeader], *, dense: bool) -> Footprint:
    """With `dense`, the device unpacks the weights to f32, as on the CPU (`pensieve.models.loading.weights`)."""
    settings = text_settings(config)
    modules = list(_modules(config, settings, headers, dense=dense))
    share, remarks = _active_share(settings, modules)
    read = [module for module in modules if not _is_lookup_table(module, modules)]
    experts = [module for module in read if _is_expert(module)]
    number_bytes = _F32_BYTES if dense else _number_bytes(headers)
    kv, attention, unknown = _cache_layout(config, number_bytes)
    method = (config.get("quantization_config") or {}).get("quant_method")
    if method in _ESTIMATED:
        remarks.append(f"weights packed by {method} are repacked on loading: their size is approximate")
    return Footprint(
        weights_bytes=sum(module.held_bytes for module in modules),
        num_parameters=sum(module.num_parameters for module in modules),
        window_tokens=context_window_tokens(config),
        token_cost=TokenCost(
            bytes_per_token=int(sum(module.held_bytes * _share_of(module, share) for module in read)),
            active_parameters=int(sum(module.num_parameters * _share_of(module, share) for module in read)),
            attention=attention,
            num_operations=_OPERATIONS_PER_LAYER * _number(settings, ("num_hidden_layers", "n_layer"), 0),
            expert_bytes=sum(module.held_bytes for module in experts),
            expert_share=share,
        ),
        kv=kv,
        kv_unknown=unknown,
        remarks=tuple(remarks),
        mtp_bytes=_mtp_bytes(config, headers, dense=dense),
    )


def _mtp_bytes(config: Mapping[str, Any], headers: Sequence[TensorHeader], *, dense: bool) -> int:
    quantization = _quantization(config)
    names = head_names(config, (header.name for header in headers))
    modules = _by_module(header for header in headers if header.name in names)
    return sum(_module(name, module, quantization, dense=dense).held_bytes for name, module in modules.items())


def activations_estimate(
    config: Mapping[str, Any], *, chunk_tokens: int, context_tokens: int, number_bytes: int, fused: bool
) -> int:
    """A rough estimate of the extra memory for the prefill of a chunk; the real value is measured on loading.

    For each token of the chunk, several rows exist at once: hidden, head and inner MLP rows.
    Unless attention is `fused`, the scores against all earlier tokens exist too, before and after the softmax.
    """
    settings = text_settings(config)
    hidden = _number(settings, ("hidden_size", "n_embd"), 0)
    heads = _number(settings, ("num_attention_heads", "n_head"), 1)
    inner = _number(settings, ("intermediate_size", "n_inner"), 4 * hidden)
    rows = chunk_tokens * (6 * hidden + 3 * inner) * number_bytes
    scores = 0 if fused else 2 * heads * chunk_tokens * context_tokens * number_bytes
    return rows + scores + 2 * _number(settings, ("vocab_size",), 0) * _F32_BYTES


def _cache_layout(
    config: Mapping[str, Any], number_bytes: int
) -> tuple[KVShape | None, tuple[AttentionLayers, ...], str]:
    try:
        return kv_shape(config, number_bytes), attention_layers(config), ""
    except UnknownLayersError as error:
        return None, (), str(error)


def _modules(
    config: Mapping[str, Any], settings: Mapping[str, Any], headers: Sequence[TensorHeader], *, dense: bool
) -> Iterable[_Module]:
    quantization = _quantization(config)
    tied = bool(settings.get("tie_word_embeddings"))
    num_layers = _number(settings, ("num_hidden_layers", "n_layer"), 1 << 30)
    loaded = (each for each in headers if _is_loaded(each, num_layers) and not (tied and _HEAD.search(each.module)))
    for name, module in _by_module(loaded).items():
        yield _module(name, module, quantization, dense=dense)


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("quantization") or config.get("quantization_config") or {}


def _by_module(headers: Iterable[TensorHeader]) -> dict[str, dict[str, TensorHeader]]:
    parts: dict[str, dict[str, TensorHeader]] = {}
    for header in headers:
        parts.setdefault(header.module, {})[header.parameter] = header
    return parts


def _module(name: str, headers: Mapping[str, TensorHeader], quantization: Mapping[str, Any], *, dense: bool) -> _Module:
    numbers = _num_parameters(headers, _group_size(quantization, name))
    unpacks = dense and not _STAYS_PACKED.search(name)
    packed = numbers != sum(header.num_elements for header in headers.values())
    held = sum(_held_bytes(header, dense=dense) for header in headers.values())
    return _Module(name, numbers, numbers * _F32_BYTES if unpacks and packed else held)


def _is_loaded(header: TensorHeader, num_layers: int) -> bool:
    """mlx-lm drops layers beyond the last one: MTP heads."""
    layer = _LAYER.search(header.name)
    return not _DROPPED.search(header.name) and not (layer and int(layer[1]) >= num_layers)


def _held_bytes(header: TensorHeader, *, dense: bool) -> int:
    """On the CPU, floats become f32. Elsewhere, 8-bit floats become bfloat16 on loading."""
    if header.dtype in FLOATING and dense:
        return _F32_BYTES * header.num_elements
    return 2 * header.num_elements if header.dtype.startswith("F8_") else header.num_bytes


def _num_parameters(module: Mapping[str, TensorHeader], group_size: int) -> int:
    """The number of parameters after unpacking, without scales and biases of the packing."""
    packed, scales = module.get("weight"), module.get("scales")
    if packed is not None and scales is not None and packed.dtype in ("U32", "U8"):
        rest = [header for name, header in module.items() if name not in ("weight", "scales", "biases")]
        return scales.num_elements * group_size + sum(header.num_elements for header in rest)
    total = 0
    for name, header in module.items():
        if name.endswith("_blocks"):  # two 4-bit numbers per byte, as in OpenAI's weights
            total += 2 * header.num_elements
        elif not (name.endswith("_scales") and name.replace("_scales", "_blocks") in module):
            total += header.num_elements
    return total


def _group_size(quantization: Mapping[str, Any], module: str) -> int:
    own = quantization.get(module)
    chosen = own if isinstance(own, Mapping) else quantization
    return int(chosen.get("group_size") or (32 if str(chosen.get("quant_method", "")).startswith("mxfp") else 64))


def _active_share(settings: Mapping[str, Any], modules: Iterable[_Module]) -> tuple[float, list[str]]:
    """The fraction of experts that are active per token, and remarks."""
    if not any(_is_expert(module) for module in modules):
        return 1.0, []
    num_experts, num_active = _number(settings, _NUM_EXPERTS, 0), _number(settings, _NUM_ACTIVE, 0)
    if not num_experts or not num_active:
        return 1.0, ["the config does not state how many experts are active per token: all are assumed to be"]
    return min(1.0, num_active / num_experts), []


def _share_of(module: _Module, share: float) -> float:
    return share if _is_expert(module) else 1.0


def _is_expert(module: _Module) -> bool:
    return bool(_EXPERT.search(module.name + "."))


def _is_lookup_table(module: _Module, modules: Iterable[_Module]) -> bool:
    """Whether a token reads only one row of it: true of embeddings that are not the output matrix as well."""
    if _LOOKED_UP.search(module.name):
        return True
    return bool(_TABLE.search(module.name)) and any(_HEAD.search(other.name) for other in modules)


def _number_bytes(headers: Iterable[TensorHeader]) -> int:
    """The bytes of a number in keys and values: the widest type of the modules that produce them."""
    types = {
        header.dtype
        for header in headers
        if header.dtype in ("F32", "F16", "BF16") and _STREAM.search(header.name) and not _DROPPED.search(header.name)
    }
    return _F32_BYTES if "F32" in types or {"F16", "BF16"} <= types else 2


def _number(settings: Mapping[str, Any], keys: Iterable[str], default: int) -> int:
    """The first positive integer among the keys."""
    for key in keys:
        value = settings.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return default
