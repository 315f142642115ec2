"""`--model-settings FILE`: settings of single models, where several are served.

A file of TOML. A table's name is a model's, as the server was given it or as clients know it; its keys are those of the
flags, without dashes. What a table leaves out is as the flags say, and then as the model's makers do.

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
    """The settings by the models' names.

    Raises:
        ValidationError: the file cannot be read, or a table has a key or a value that is not known; all are named.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong(path, str(error)) from error
    return {name: _settings(path, name, table) for name, table in document.items()}


def require_known_names(path: Path, given: Iterable[str], known: Iterable[str]) -> None:
    """
    Raises:
        ValidationError: a table is of a model that is not served.
    """
    served = list(dict.fromkeys(known))
    if unknown := [name for name in given if name not in served]:
        raise _wrong(path, f"[{unknown[0]!r}] is not a model of this server, which has {', '.join(served)}")


def _settings(path: Path, name: str, table: Any) -> ModelSettings:
    if not isinstance(table, dict):
        raise _wrong(path, f'{name} is outside a table: put it below a model\'s name, as in ["organisation/name"]')
    for key, value in table.items():
        if (problem := _problem(key, value)) is not None:
            raise _wrong(path, f"[{name!r}] {key}: {problem}")
    sampling = Sampling(**{key: table[key] for key in ALLOWED if key in table})
    mode = _MODES[table["thinking"]] if "thinking" in table else None
    return ModelSettings(sampling, mode, table.get("max_thinking_tokens"))


def _problem(key: str, value: Any) -> str | None:
    if key == "thinking":
        return None if isinstance(value, str) and value in _MODES else f"{value!r} is not {' or '.join(_MODES)}"
    allowed = {**ALLOWED, "max_thinking_tokens": _TOKENS}.get(key)
    if allowed is None:
        return f"not known; a table may have {', '.join((*ALLOWED, 'thinking', 'max_thinking_tokens'))}"
    return None if allowed.holds(value) else f"{value!r} is not {allowed.sentence}"


def _wrong(path: Path, problem: str) -> ValidationError:
    return ValidationError("--model-settings", f"{path}: {problem}")
