"""config.json, read in one way by the loader and by everything that describes a model without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.json_file import read_json
from pensieve.models.loading.checks.bounds import require_possible
from pensieve.models.loading.rope import with_older_rope_keys

CONFIG: Final = "config.json"
DEFAULT_WINDOW_TOKENS: Final = 4096
"""The context window of a model whose files do not state one."""
_WINDOW_KEYS: Final = ("max_position_embeddings", "max_sequence_length", "max_seq_len", "seq_length", "n_positions")


def read_config(source: str, folder: Path) -> dict[str, Any]:
    """The normalised config.

    Raises:
        ModelLoadingError: the file is missing, or is not a JSON object with a `model_type`.
    """
    path = folder / CONFIG
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise ModelLoadingError(source, f"{path} is missing; a folder in MLX format is needed") from error
    except (OSError, ValueError) as error:
        raise ModelLoadingError(source, f"{path} cannot be read: {error}") from error
    return checked_config(source, content, path)


def checked_config(source: str, content: object, path: Path) -> dict[str, Any]:
    """The normalised config from the JSON value of `path`.

    Raises:
        ModelLoadingError: the value is not an object with a `model_type`, or has a number that no model can have.
    """
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        raise ModelLoadingError(source, f"{path} holds {kind} instead of an object with settings; fetch it again")
    if not isinstance(content.get("model_type"), str):
        raise ModelLoadingError(source, f"{path} has no model_type; fetch it again")
    require_possible(source, path, content)
    try:
        return normalised_config(content)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ModelLoadingError(source, f"{path} has a setting that cannot be used: {error}; fetch it again") from error


def normalised_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the keys that mlx-lm's models read, in its parts (`text_config` and others) too. Nothing is
    removed, and a config with the older keys is returned unchanged.
    """
    parts = {
        key: normalised_config(part)
        for key, part in config.items()
        if key.endswith("_config") and isinstance(part, Mapping)
    }
    return with_older_rope_keys({**config, **parts})


def context_window_tokens(config: Mapping[str, Any]) -> int | None:
    """The window that the config states, or that of its text part; None if neither states one."""
    text = config.get("text_config")
    for part in (config, text if isinstance(text, Mapping) else {}):
        for key in _WINDOW_KEYS:
            value = part.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None
