"""Adapters (U3): what fine-tuning with mlx-lm wrote beside a base model, checked, and put onto it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.safetensors import require_whole_safetensors

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapters.safetensors"


def require_adapter(source: str, folder: Path) -> None:
    """Refuse what is no adapter of mlx-lm's form, or is cut short.

    Raises:
        ModelLoadingError: naming the file.
    """
    config = folder / CONFIG
    if (folder / "adapter_model.safetensors").is_file() and not (folder / WEIGHTS).is_file():
        raise ModelLoadingError(source, f"{folder} holds an adapter of PEFT; one of mlx-lm ({WEIGHTS}) is needed")
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelLoadingError(
            source, f"{config} is missing; a folder that `mlx_lm.lora --adapter-path` wrote is needed"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelLoadingError(source, f"{config} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelLoadingError(source, f"{config} is no object of JSON")
    needed = () if content.get("fine_tune_type") == "full" else ("num_layers", "lora_parameters")
    for key in needed:
        if key not in content:
            raise ModelLoadingError(source, f"{config} does not say its {key}")
    if not (folder / WEIGHTS).is_file():
        raise ModelLoadingError(source, f"{folder / WEIGHTS} is missing; the adapter's weights are in it")
    require_whole_safetensors(source, folder / WEIGHTS)


def adapter_kind(folder: Path) -> str:
    """lora, dora or full, as its config says; `lora` where it cannot be read."""
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return str(content.get("fine_tune_type", "lora"))
    except (OSError, ValueError, AttributeError):
        return "lora"


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
