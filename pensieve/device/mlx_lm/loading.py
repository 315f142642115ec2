"""mlx-lm's functions that load a model, for every other package. Importing this imports mlx-lm, in half a second."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm

import_mlx_lm()

from mlx_lm.utils import (  # noqa: E402 - only after import_mlx_lm
    dequantize_model,
    infer_quant_config,
    load_adapters,
    load_config,
    load_model,
)

__all__ = ["dequantize_model", "infer_quant_config", "load_adapters", "load_config", "load_model", "tokenizer_defaults"]


def tokenizer_defaults(model: Any) -> Mapping[str, Any]:
    """What a model's architecture says of its tokenizer, for folders that do not say it."""
    defaults: Mapping[str, Any] = getattr(importlib.import_module(type(model).__module__), "TOKENIZER_DEFAULTS", {})
    return defaults
