"""The folder of an adapter, as fine-tuning with mlx-lm writes it: checked before it is used (U3)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.json_file import read_json
from pensieve.models.safetensors.validation import validate_safetensors

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapters.safetensors"


def require_adapter(source: str, folder: Path) -> None:
    """Refuse a folder that does not hold a complete mlx-lm adapter.

    Raises:
        ModelLoadingError: it names the file that is missing or wrong.
    """
    config = folder / CONFIG
    if (folder / "adapter_model.safetensors").is_file() and not (folder / WEIGHTS).is_file():
        raise ModelLoadingError(source, f"{folder} holds a PEFT adapter; an mlx-lm adapter ({WEIGHTS}) is needed")
    try:
        content = read_json(config)
    except FileNotFoundError as error:
        raise ModelLoadingError(
            source, f"{config} is missing; a folder written by `mlx_lm.lora --adapter-path` is needed"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelLoadingError(source, f"{config} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelLoadingError(source, f"{config} is not a JSON object")
    required = () if content.get("fine_tune_type") == "full" else ("num_layers", "lora_parameters")
    for key in required:
        if key not in content:
            raise ModelLoadingError(source, f"{config} has no {key}")
    if not (folder / WEIGHTS).is_file():
        raise ModelLoadingError(source, f"{folder / WEIGHTS} is missing; it holds the adapter's weights")
    validate_safetensors(source, folder / WEIGHTS)


def adapter_kind(folder: Path) -> str:
    """lora, dora or full, as its config states; `lora` if the config cannot be read."""
    try:
        content = read_json(folder / CONFIG)
        return str(content.get("fine_tune_type", "lora"))
    except (OSError, ValueError, AttributeError):
        return "lora"
