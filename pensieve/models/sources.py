"""What the user calls a model, and the folder that it is in (U1, U3)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.embedded import SMOLLM2, embedded_folder
from pensieve.models.gguf_folder import gguf_folder
from pensieve.models.hub import hub_folder
from pensieve.models.progress import Progress
from pensieve.models.safetensors_file import require_whole_safetensors

_HUB_NAME: Final = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's files in mlx-lm's form. `created_at` is an RFC 3339 time; `revision` the hub's commit, if it is one."""

    path: Path
    id: str
    display_name: str
    created_at: str
    revision: str | None = None


def resolve(source: str, *, progress: Progress) -> ModelFolder:
    """Find a model, fetching or converting it first if need be.

    `source` is the embedded model's name, a folder or .gguf file on this machine, or a hub's `organisation/name`.

    Raises:
        ModelLoadingError: it is none of these, or its files are not there, damaged or out of reach.
    """
    path = Path(source).expanduser()
    if source == SMOLLM2.name:
        folder = ModelFolder(embedded_folder(progress), SMOLLM2.name, SMOLLM2.display_name, SMOLLM2.released_at)
    elif source and path.is_dir():
        folder = _folder(path.resolve(), path.resolve().name)
    elif source and path.is_file() and path.suffix.lower() == ".gguf":
        folder = _folder(gguf_folder(path.resolve(), progress), path.stem)
    elif _HUB_NAME.fullmatch(source):
        found = hub_folder(source, progress)
        folder = _folder(found, source, revision=found.name)
    else:
        raise ModelLoadingError(source or "a model without a name", _understood(path))
    require_whole(source, folder.path)
    return folder


def require_whole(source: str, folder: Path) -> None:
    """Refuse a folder in which something that every model has is missing or cut short.

    Raises:
        ModelLoadingError: naming the file.
    """
    config = folder / "config.json"
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelLoadingError(source, f"{config} is missing; a folder of mlx-lm's form is needed") from error
    except (OSError, ValueError) as error:
        raise ModelLoadingError(source, f"{config} cannot be read: {error}") from error
    if not isinstance(content, dict) or "model_type" not in content:
        raise ModelLoadingError(source, f"{config} does not say the model_type")
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise ModelLoadingError(source, f"{folder} has no model*.safetensors; a folder of mlx-lm's form is needed")
    for file in weights:
        require_whole_safetensors(source, file)
    if not any((folder / name).exists() for name in _TOKENIZER_FILES):
        raise ModelLoadingError(source, f"{folder} has no tokenizer.json")


def _folder(path: Path, name: str, *, revision: str | None = None) -> ModelFolder:
    config = path / "config.json"
    modified = datetime.fromtimestamp(config.stat().st_mtime if config.exists() else 0, UTC)
    return ModelFolder(path, name, name, modified.strftime("%Y-%m-%dT%H:%M:%SZ"), revision)


def _understood(path: Path) -> str:
    there = f"{path} is a file, but no .gguf file" if path.is_file() else "there is no such folder or file"
    return (
        f"{there}. A model can be {SMOLLM2.name} (the embedded one), a folder or .gguf file on this machine, "
        "or organisation/name on the Hugging Face hub"
    )
