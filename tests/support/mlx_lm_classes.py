"""The classes of an architecture of mlx-lm, by its public names."""

from __future__ import annotations

import importlib
from typing import Any

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm


def classes_of(model_type: str) -> tuple[Any, Any]:
    """The model's class and that of its arguments."""
    import_mlx_lm()
    renamed = importlib.import_module("mlx_lm.utils").MODEL_REMAPPING
    module = importlib.import_module(f"mlx_lm.models.{renamed.get(model_type, model_type)}")
    return module.Model, module.ModelArgs
