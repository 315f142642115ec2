"""Whether weights are packed as config.json says, as far as their names tell: mlx-lm fails with errors that name
neither the file nor the fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.safetensors.headers import TensorHeader

_QWEIGHT_METHODS: Final = frozenset(("awq", "gptq"))
_OTHER_PACKING: Final = {
    ".absmax": "bitsandbytes",
    ".quant_map": "bitsandbytes",
    ".g_idx": "GPTQ with activation order",
    ".codebooks": "AQLM",
    ".W_q": "HQQ",
}
"""Tensors that only a form of packing has which mlx-lm does not read."""


def require_readable_packing(
    source: str, path: Path, config: Mapping[str, Any], headers: Iterable[TensorHeader]
) -> None:
    """`path` is the config's own.

    Raises:
        ModelLoadingError: the weights are not packed as the config says, or in a way that mlx-lm does not read.
    """
    names = [header.name for header in headers]
    method = _method(config)
    has_packed = any(name.endswith(".qweight") for name in names)
    if method in _QWEIGHT_METHODS and not has_packed:
        raise ModelLoadingError(
            source,
            f"{path} says that the weights are packed by {method}, and they are not (no tensor ends in .qweight): "
            "remove `quantization_config` from it",
        )
    packing = next((form for end, form in _OTHER_PACKING.items() if any(name.endswith(end) for name in names)), None)
    if packing is not None and "quantization" not in config:
        raise ModelLoadingError(
            source,
            f"its weights are packed by {packing}, which mlx-lm does not read: fetch the model unpacked, or for MLX",
        )
    if has_packed and method not in _QWEIGHT_METHODS and "quantization" not in config:
        raise ModelLoadingError(
            source,
            f"its weights are packed as by AWQ or GPTQ (tensors end in .qweight), and {path} does not say so: fetch "
            "config.json again, with its `quantization_config`",
        )


def _method(config: Mapping[str, Any]) -> str | None:
    """Unless mlx-lm's own `quantization` is there, which goes first."""
    if "quantization" in config:
        return None
    text = config.get("text_config")
    inner = text.get("quantization_config") if isinstance(text, Mapping) else None
    settings = config.get("quantization_config") or inner
    return settings.get("quant_method") if isinstance(settings, Mapping) else None
