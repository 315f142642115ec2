"""The `--model-settings` file: settings per model, for a server of several.

It is TOML, with a table per model. A table is named as the model is served, or by the id that clients use. Its keys are
the names of the flags without dashes. Whatever a table omits comes from the flags, then from the model's own defaults.

    ["mlx-community/Qwen3-8B-4bit"]
    temperature = 0.6
    thinking = "off"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from contracts.values.vocabulary import Sampling
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode
from pensieve.core.defaults.sampling import ALLOWED, AllowedRange
from pensieve.core.errors import ValidationError

_TOKENS: Final = AllowedRange("a whole number above 0", lambda value: value > 0, (int,))
_MODES: Final = {mode.value: mode for mode in ThinkingMode}


def read_model_settings(path: Path) -> Mapping[str, ModelSettings]:
    """The settings by model name.

    Raises:
        ValidationError: the file cannot be read, or has an unknown key or a wrong value; the message says where.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise _error(path, str(error)) from error
    return {name: _settings(path, name, table) for name, table in document.items()}


def require_served(path: Path, names: Iterable[str], served: Iterable[str]) -> None:
    """
    Raises:
        ValidationError: a table names a model that is not served.
    """
    served = list(dict.fromkeys(served))
    if unknown := [name for name in names if name not in served]:
        raise _error(path, f"[{unknown[0]!r}] is not a model of this server, which serves {', '.join(served)}")


def _settings(path: Path, name: str, table: Any) -> ModelSettings:
    if not isinstance(table, dict):
        raise _error(path, f'{name} is outside a table: put it under a model name, such as ["organisation/name"]')
    for key, value in table.items():
        if (problem := _problem(key, value)) is not None:
            raise _error(path, f"[{name!r}] {key}: {problem}")
    sampling = Sampling(**{key: table[key] for key in ALLOWED if key in table})
    mode = _MODES[table["thinking"]] if "thinking" in table else None
    return ModelSettings(sampling, mode, table.get("max_thinking_tokens"))


def _problem(key: str, value: Any) -> str | None:
    if key == "thinking":
        return None if isinstance(value, str) and value in _MODES else f"{value!r} is not {' or '.join(_MODES)}"
    allowed = {**ALLOWED, "max_thinking_tokens": _TOKENS}.get(key)
    if allowed is None:
        return f"unknown key; a table may have {', '.join((*ALLOWED, 'thinking', 'max_thinking_tokens'))}"
    return None if allowed.holds(value) else f"{value!r} is not {allowed.sentence}"


def _error(path: Path, problem: str) -> ValidationError:
    return ValidationError("--model-settings", f"{path}: {problem}")
