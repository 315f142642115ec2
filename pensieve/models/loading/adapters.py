"""Applying a fine-tuned adapter to a loaded base model (U3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def put_adapter(model: Any, folder: Path) -> None:
    """Have mlx-lm wrap the model's layers in the adapter's. On the thread that owns MLX.

    Raises:
        Exception: of any type, from mlx-lm, if the adapter does not fit the model.
    """
    from pensieve.device.mlx_lm.loading import load_adapters  # noqa: PLC0415 - half a second

    load_adapters(model, str(folder))
    model.eval()


def fuse_adapter(model: Any) -> None:
    """Add the adapter's weights to the dense weights that they wrap; computed lazily.

    Not for packed weights: packing them again would lose much of what the adapter has learnt.
    """
    from mlx.utils import tree_unflatten  # noqa: PLC0415 - the BLAS comes first

    fused = [(name, module.fuse(dequantize=True)) for name, module in model.named_modules() if hasattr(module, "fuse")]
    if fused:
        model.update_modules(tree_unflatten(fused))
