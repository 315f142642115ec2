"""Which tensors of a checkpoint are its multi-token-prediction (MTP) head, and what each is called here.

Sources: `qwen3_next_mtp.py`, `deepseek_mtp.py` and `glm4_moe_mtp.py` of vLLM, and `MtpModel` of Transformers. The
families differ in names alone. Copies of the embeddings and of the output layer are left out: both are the model's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_PARTS_OF_QWEN: Final = {
    "fc.": "projection.",
    "pre_fc_norm_embedding.": "embedding_norm.",
    "pre_fc_norm_hidden.": "hidden_norm.",
    "norm.": "norm.",
    "layers.0.": "layer.",
}
_PARTS_OF_A_LAYER: Final = {
    "eh_proj.": "projection.",
    "enorm.": "embedding_norm.",
    "hnorm.": "hidden_norm.",
    "shared_head.norm.": "norm.",
    "embed_tokens.": None,
    "shared_head.head.": None,
    "": "layer.",
}
_IN_MTP: Final = frozenset(("qwen3_next", "qwen3_5", "qwen3_5_moe"))
_IN_A_LAYER: Final = frozenset(("deepseek_v3", "glm4_moe"))
_MTP: Final = re.compile(r"(?:^|\.)mtp\.(?P<rest>.+)")
_LAYER: Final = re.compile(r"(?:^|\.)model\.layers\.(?P<number>\d+)\.(?P<rest>.+)")


def head_names(config: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """The head's tensors: their names in the checkpoint, and in `MtpHead`. Empty for a checkpoint without a head.

    Of several heads in a row, the first is used.
    """
    found = {name: _head_name(config, name) for name in names}
    return {name: own for name, own in found.items() if own is not None}


def has_offset_norms(config: Mapping[str, Any]) -> bool:
    """Whether the makers store norms as offsets from 1."""
    return config.get("model_type") in _IN_MTP


def _head_name(config: Mapping[str, Any], name: str) -> str | None:
    model_type = config.get("model_type")
    if model_type in _IN_MTP and (match := _MTP.search(name)):
        return _renamed(match["rest"], _PARTS_OF_QWEN)
    if model_type in _IN_A_LAYER and (match := _LAYER.search(name)):
        is_head = int(match["number"]) == config.get("num_hidden_layers")
        return _renamed(match["rest"], _PARTS_OF_A_LAYER) if is_head else None
    return None


def _renamed(name: str, parts: Mapping[str, str | None]) -> str | None:
    part = next((each for each in parts if name.startswith(each)), None)
    own = parts[part] if part is not None else None
    return own + name.removeprefix(part) if own is not None and part is not None else None
