"""The one reading of a model's name (U1, U3): every command gives the same text the same meaning, in the same order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.atomic_folder import is_complete
from pensieve.models.files.home import models_folder
from pensieve.models.hub.name import HubName, parse_hub_name
from pensieve.models.library.aliases import CuratedModel, curated_model, curated_models
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.names import NamedModel, named_model, named_models
from pensieve.models.library.user_path import is_file, is_folder, user_path


@dataclass(frozen=True, slots=True)
class EmbeddedSource:
    """The model that comes with Pensieve."""


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder that exists. It holds a model in MLX format, or a GGUF file."""

    path: Path


@dataclass(frozen=True, slots=True)
class GgufSource:
    """A .gguf file that exists. Symbolic links are kept: the link's name is the model's name."""

    path: Path


Source = EmbeddedSource | NamedModel | CuratedModel | FolderSource | GgufSource | HubName


def parse_source(source: str) -> Source:
    """What a user's name for a model refers to. The first match wins, in this order: the embedded model, an imported
    name, an alias, a folder or .gguf file, a hub name, a converted GGUF file. So `smollm2-135m` is always the embedded
    model, and `./smollm2-135m` a folder.

    Raises:
        ModelLoadingError: it is none of these; the message has the closest names. Or names.json cannot be read.
    """
    path = user_path(source)
    if source == SMOLLM2.name:
        return EmbeddedSource()
    if (model := named_model(source) or curated_model(source)) is not None:
        return model
    if source and is_folder(path):
        return FolderSource(path.resolve())
    if source and is_file(path) and path.suffix.lower() == ".gguf":
        return GgufSource(path)
    if (name := parse_hub_name(source)) is not None:
        return name
    if source and is_complete(models_folder() / source):
        return FolderSource(models_folder() / source)
    raise ModelLoadingError(source or "a model without a name", _unknown(source))


def parse_hub_source(source: str) -> HubName | None:
    """The hub model that an alias or hub name refers to, even if a folder of that name exists; None for other names."""
    listed = curated_model(source)
    return listed.hub if listed is not None else parse_hub_name(source)


def _unknown(source: str) -> str:
    path = user_path(source)
    reason = f"{path} is a file, but not a .gguf file" if source and is_file(path) else "no such folder or file"
    return (
        f"{reason}.{closest(source, known_names())} A model can be {SMOLLM2.name} (the embedded one), an imported name "
        "(see `pensieve models list`), an alias (see `pensieve models list --available`), a folder or .gguf file on "
        "this machine, or organisation/name on the Hugging Face hub"
    )


def closest(name: str, names: Iterable[str]) -> str:
    """` Did you mean …?`, with a leading space; empty if no name is similar."""
    close = difflib.get_close_matches(name, list(names), n=3) if name else []
    return f" Did you mean {' or '.join(close)}?" if close else ""


def known_names() -> list[str]:
    """Every name without a slash that refers to a model here."""
    return [SMOLLM2.name, *(model.name for model in named_models()), *(model.alias for model in curated_models())]
