"""Adapters (U3): put onto a loaded base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def put_adapter(model: Any, folder: Path) -> None:
    """Have mlx-lm put the adapter's layers around the model's own. On the thread that owns MLX.

    Raises:
        Exception: whatever mlx-lm raises over an adapter that does not fit the model.
    """
    from mlx_lm.utils import load_adapters  # noqa: PLC0415 - only after import_mlx_lm

    load_adapters(model, str(folder))
    model.eval()


def fuse_adapter(model: Any) -> None:
    """Add what the adapter's layers hold to the weights that they are around, when they will be evaluated.

    For dense weights: packed ones would be packed anew, which loses much of what was learnt.
    """
    from mlx.utils import tree_unflatten  # noqa: PLC0415 - the BLAS comes first

    fused = [(name, module.fuse(dequantize=True)) for name, module in model.named_modules() if hasattr(module, "fuse")]
    if fused:
        model.update_modules(tree_unflatten(fused))
