"""generation_config.json: how the makers of a model recommend to sample from it.

The keys are those of Transformers' GenerationConfig. `do_sample: false` without a temperature is greedy decoding there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.values.vocabulary import Sampling
from pensieve.core.defaults.sampling import ALLOWED

FILE_NAME: Final = "generation_config.json"
_GGUF_KEYS: Final = {
    "temperature": "temp",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "penalty_repeat",
}


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """`problem` says what of the file is ignored, and why; "" where nothing is."""

    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    problem: str = ""


def read_generation_config(folder: Path) -> GenerationConfig:
    """What the file of a model's folder says; nothing where there is none. A bad one keeps no model from loading."""
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return GenerationConfig()
    except (OSError, ValueError, RecursionError) as error:
        return GenerationConfig(problem=f"{path} is ignored: {error}")
    if not isinstance(content, dict):
        return GenerationConfig(problem=f"{path} is ignored: it is not a JSON object")
    return _chosen(path, content)


def generation_config_of_gguf(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The content of such a file, from what a GGUF file recommends under the names of llama.cpp, in 32-bit floats."""
    found = {name: metadata.get(f"general.sampling.{key}") for name, key in _GGUF_KEYS.items()}
    return {
        name: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, value in found.items()
        if isinstance(value, (int, float))
    }


def _chosen(path: Path, content: dict[str, Any]) -> GenerationConfig:
    given = {name: content[name] for name in ALLOWED if content.get(name) is not None}
    unfit = {name: value for name, value in given.items() if not ALLOWED[name].holds(value)}
    fit = {name: value for name, value in given.items() if name not in unfit}
    if content.get("do_sample") is False:
        fit.setdefault("temperature", 0.0)
    reasons = [f"{name} must be {ALLOWED[name].sentence}, not {str(value)[:40]!r}" for name, value in unfit.items()]
    problem = f"{path}: ignored, as out of range: {'; '.join(reasons)}" if reasons else ""
    return GenerationConfig(Sampling(**fit), problem)
