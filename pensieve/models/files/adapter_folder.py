"""The folder of an adapter: what fine-tuning with mlx-lm wrote beside a base model, checked (U3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.safetensors.file import validate_safetensors

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
    validate_safetensors(source, folder / WEIGHTS)


def adapter_kind(folder: Path) -> str:
    """lora, dora or full, as its config says; `lora` where it cannot be read."""
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return str(content.get("fine_tune_type", "lora"))
    except (OSError, ValueError, AttributeError):
        return "lora"
