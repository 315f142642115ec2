"""generation_config.json: the sampling that a model's makers recommend.

The keys are those of Transformers' GenerationConfig, where `do_sample: false` without a temperature means greedy
decoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.values.vocabulary import Sampling
from pensieve.core.defaults.sampling import ALLOWED
from pensieve.models.files.json_file import read_json

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
    """`problem` names what is ignored and why; it is empty if nothing is."""

    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    problem: str = ""


def read_generation_config(folder: Path) -> GenerationConfig:
    """Empty without the file. A damaged file is ignored: it does not keep a model from loading."""
    path = folder / FILE_NAME
    try:
        content = read_json(path, "utf-8-sig")
    except FileNotFoundError:
        return GenerationConfig()
    except (OSError, ValueError) as error:
        return GenerationConfig(problem=f"{path} is ignored: {error}")
    if not isinstance(content, dict):
        return GenerationConfig(problem=f"{path} is ignored: it is not a JSON object")
    return _validated(path, content)


def generation_config_of_gguf(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The content of generation_config.json from the metadata of a GGUF file, which has llama.cpp's names."""
    found = {name: metadata.get(f"general.sampling.{key}") for name, key in _GGUF_KEYS.items()}
    return {
        name: float(f"{value:.6g}") if isinstance(value, float) else value  # GGUF has 32-bit floats
        for name, value in found.items()
        if isinstance(value, (int, float))
    }


def _validated(path: Path, content: dict[str, Any]) -> GenerationConfig:
    given = {name: content[name] for name in ALLOWED if content.get(name) is not None}
    invalid = {name: value for name, value in given.items() if not ALLOWED[name].holds(value)}
    valid = {name: value for name, value in given.items() if name not in invalid}
    if content.get("do_sample") is False:
        valid.setdefault("temperature", 0.0)
    reasons = [f"{name} must be {ALLOWED[name].sentence}, not {str(value)[:40]!r}" for name, value in invalid.items()]
    problem = f"{path}: these values are ignored: {'; '.join(reasons)}" if reasons else ""
    return GenerationConfig(Sampling(**valid), problem)
