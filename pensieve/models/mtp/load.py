"""Reads a checkpoint's MTP head, which mlx-lm drops, and builds it from the layers of the loaded model.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.quantized import quantize

from pensieve.models.mtp.head import MtpHead
from pensieve.models.mtp.names import has_offset_norms, head_names

_LAYER: Final = "layer."
_MAX_OFFSET_MEAN: Final = 0.5
"""Qwen's norms are stored as offsets from 1, with means around 0; converted ones have 1 added. Some converters add it
to the model's norms, but not to all of the head's (https://github.com/jundot/omlx/pull/1507).
"""


def load_head(model: Any, config: Mapping[str, Any], files: Iterable[Path]) -> MtpHead | None:
    """The head, its weights still unread; None if the files have none.

    Raises:
        Exception: of any type, from MLX or mlx-lm, if the head's tensors do not fit the model.
    """
    held: dict[str, mx.array] = {}
    for path in files:
        held.update(mx.load(str(path)))  # type: ignore[arg-type]  # lazily: only headers are read
    weights = {own: held[name] for name, own in head_names(config, held).items()}
    if not weights:
        return None
    if has_offset_norms(config):
        is_raw = any(name.endswith("conv1d.weight") and array.shape[-1] != 1 for name, array in held.items())
        weights = _with_one_added(weights, to_all=is_raw)
    return _built(model, weights)


def text_model(model: Any) -> Any:
    """The part of a model that has `args` of its own, and a `model` without the output layer."""
    return getattr(model, "language_model", model)


def _built(model: Any, weights: Mapping[str, mx.array]) -> MtpHead:
    text = text_model(model)
    layers = text.model.layers
    index = max(index for index, layer in enumerate(layers) if not getattr(layer, "is_linear", False))
    head = MtpHead(type(layers[index])(text.args, index), text.args.hidden_size, text.args.rms_norm_eps)
    weights = _sanitized(model, index, weights)
    _pack(head, weights)
    head.load_weights(list(weights.items()))
    head.eval()
    return head


def _sanitized(model: Any, index: int, weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """The head's layer in the form that mlx-lm gives to the model's layer `index`. Vectors stay as they are."""
    name = f"model.layers.{index}."
    matrices = {key: array for key, array in weights.items() if key.startswith(_LAYER) and array.ndim > 1}
    renamed = {name + key.removeprefix(_LAYER): array for key, array in matrices.items()}
    sanitized: dict[str, mx.array] = model.sanitize(renamed) if hasattr(model, "sanitize") else renamed
    others = {key: array for key, array in weights.items() if key not in matrices}
    return others | {_LAYER + key.rpartition(name)[2]: array for key, array in sanitized.items()}


def _pack(head: MtpHead, weights: Mapping[str, mx.array]) -> None:
    """Make layers of packed weights of those that the checkpoint has packed."""
    from pensieve.device.mlx_lm.loading import infer_quant_config  # noqa: PLC0415 - half a second

    def packing(path: str, module: Any) -> dict[str, Any] | bool:
        return infer_quant_config(path, module, weights) if f"{path}.scales" in weights else False

    quantize(head, class_predicate=packing)


def _with_one_added(weights: Mapping[str, mx.array], *, to_all: bool) -> dict[str, mx.array]:
    return {
        key: array + 1 if _is_norm(key) and (to_all or bool(mx.mean(array) < _MAX_OFFSET_MEAN)) else array
        for key, array in weights.items()
    }


def _is_norm(key: str) -> bool:
    return key.rpartition(".")[0].endswith("norm")
