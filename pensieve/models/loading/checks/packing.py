"""Whether the weights are packed as config.json states, judged by tensor names.

Without this check, mlx-lm fails with an error that names neither the file nor the fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.safetensors.headers import TensorHeader

_QWEIGHT_METHODS: Final = frozenset(("awq", "gptq"))
_UNSUPPORTED_SUFFIXES: Final = {
    ".absmax": "bitsandbytes",
    ".quant_map": "bitsandbytes",
    ".g_idx": "GPTQ with activation order",
    ".codebooks": "AQLM",
    ".W_q": "HQQ",
}
"""Tensors that occur only with a packing that mlx-lm does not read."""


def require_readable_packing(
    source: str, path: Path, config: Mapping[str, Any], headers: Iterable[TensorHeader]
) -> None:
    """`path` is that of config.json, for the message.

    Raises:
        ModelLoadingError: the weights are packed differently from what the config states, or as mlx-lm does not read.
    """
    names = [header.name for header in headers]
    method = _method(config)
    has_packed = any(name.endswith(".qweight") for name in names)
    if method in _QWEIGHT_METHODS and not has_packed:
        raise ModelLoadingError(
            source,
            f"{path} states that the weights are packed by {method}, but they are not (no tensor ends in .qweight): "
            "remove `quantization_config` from it",
        )
    unsupported = next(
        (packing for suffix, packing in _UNSUPPORTED_SUFFIXES.items() if any(name.endswith(suffix) for name in names)),
        None,
    )
    if unsupported is not None and "quantization" not in config:
        raise ModelLoadingError(
            source,
            f"its weights are packed by {unsupported}, which mlx-lm does not read: fetch the model unpacked, or packed "
            "for MLX",
        )
    if has_packed and method not in _QWEIGHT_METHODS and "quantization" not in config:
        raise ModelLoadingError(
            source,
            f"its weights are packed as by AWQ or GPTQ (tensors end in .qweight), but {path} does not state it: fetch "
            "config.json again, with its `quantization_config`",
        )


def _method(config: Mapping[str, Any]) -> str | None:
    """None if the config has mlx-lm's own `quantization`, which takes precedence."""
    if "quantization" in config:
        return None
    text = config.get("text_config")
    inner = text.get("quantization_config") if isinstance(text, Mapping) else None
    settings = config.get("quantization_config") or inner
    return settings.get("quant_method") if isinstance(settings, Mapping) else None
