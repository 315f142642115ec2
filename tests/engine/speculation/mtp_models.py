"""Small models with a multi-token-prediction head that is often right, and sometimes wrong.

The last layer of a model adds about as much as the embedding has, and the others add a little. The head passes the
embedding of the last token, and a little of the hidden state, to a copy of the last layer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import mlx.core as mx

from tests.dialects.matrix.coverage import SEEDS
from tests.dialects.matrix.model_types import config_of
from tests.dialects.matrix.row import write_small_model

HEAD_FILE: Final = "mtp.safetensors"
_QWEN: Final = ("qwen3_5", "qwen3_5_moe", "qwen3_next")
_OUTPUTS: Final = ("o_proj.weight", "out_proj.weight", "down_proj.weight")
_SHARE_OF_LAST: Final = 0.03
_SHARE_OF_OTHERS: Final = 0.003
_HIDDEN_SHARE: Final = 0.002


def write_mtp_model(folder: Path, model_type: str, *, beside: bool = False, num_layers: int = 2, **config: Any) -> Path:
    """Named like a checkpoint of the makers, but with mlx-lm's experts. The head may be in a file that mlx-lm ignores:
    of DeepSeek V3 it drops heads only where that model has them.
    """
    sizes = {"num_hidden_layers": num_layers, "full_attention_interval": 2, **config}
    settings = {**config_of(model_type), **sizes}
    if "text_config" in settings:
        settings["text_config"] |= sizes
    write_small_model(folder, settings, seed=SEEDS.get(model_type, 0))
    path = folder / "model.safetensors"
    weights: dict[str, mx.array] = mx.load(str(path))  # type: ignore[assignment]
    (table,) = [name for name in weights if name.endswith("embed_tokens.weight")]
    last = f"layers.{settings['num_hidden_layers'] - 1}."
    for name, array in weights.items():
        if ".layers." in name and name.endswith(_OUTPUTS):
            weights[name] = array * (_SHARE_OF_LAST if last in name else _SHARE_OF_OTHERS)
    head = _head(settings, weights, table)
    mx.eval(weights, head)
    if beside:
        mx.save_safetensors(str(folder / HEAD_FILE), head)
    mx.save_safetensors(str(path), weights if beside else weights | head, {"format": "mlx"})
    if not beside:
        _add_to_index(folder, head)
    return folder


def _head(settings: dict[str, Any], weights: dict[str, mx.array], table: str) -> dict[str, mx.array]:
    num_layers = int(settings["num_hidden_layers"])
    prefix = table.removesuffix("embed_tokens.weight")
    last = f"{prefix}layers.{num_layers - 1}."
    layer = {name.removeprefix(last): array for name, array in weights.items() if name.startswith(last)}
    size = weights[table].shape[1]
    embedding = weights[table]
    rms = mx.sqrt(mx.mean(embedding * embedding))
    parts = {
        "projection": mx.concatenate(
            [rms * mx.eye(size), _HIDDEN_SHARE * rms * mx.random.normal((size, size))], axis=1
        ),
        "embedding_norm": mx.ones(size),
        "hidden_norm": mx.ones(size),
        "norm": weights[f"{prefix}norm.weight"],
    }
    return _named(settings["model_type"], num_layers, parts, layer)


def _named(
    model_type: str, num_layers: int, parts: dict[str, mx.array], layer: dict[str, mx.array]
) -> dict[str, mx.array]:
    if model_type in _QWEN:
        names = ("mtp.fc", "mtp.pre_fc_norm_embedding", "mtp.pre_fc_norm_hidden", "mtp.norm")
        at = "mtp.layers.0."
    else:
        at = f"model.layers.{num_layers}."
        names = (f"{at}eh_proj", f"{at}enorm", f"{at}hnorm", f"{at}shared_head.norm")
    named = {f"{name}.weight": array for name, array in zip(names, parts.values(), strict=True)}
    return named | {at + name: array for name, array in layer.items()}


def _add_to_index(folder: Path, head: dict[str, mx.array]) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    index["weight_map"] |= dict.fromkeys(head, "model.safetensors")
    path.write_text(json.dumps(index), encoding="utf-8")
