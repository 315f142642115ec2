"""The folder in MLX format of a model that is on this machine: nothing is fetched or converted."""

from __future__ import annotations

from pathlib import Path

from pensieve.models.files.atomic_folder import is_complete
from pensieve.models.files.home import models_folder
from pensieve.models.files.progress import SilentProgress
from pensieve.models.hub.local import local_copy
from pensieve.models.hub.name import HubName
from pensieve.models.library.aliases import CuratedModel
from pensieve.models.library.embedded import SMOLLM2, embedded_folder
from pensieve.models.library.names import NamedModel
from pensieve.models.library.source import EmbeddedSource, FolderSource, GgufSource, Source, parse_source
from pensieve.models.loading.contents import only_gguf


def local_folder(name: str) -> Path | None:
    """By any name that `parse_source` accepts. None if the model has to be fetched or converted first.

    Raises:
        ModelLoadingError: the name refers to nothing.
    """
    return _folder(name, parse_source(name))


def _folder(name: str, source: Source) -> Path | None:
    match source:
        case EmbeddedSource():
            return embedded_folder(SilentProgress()) if is_complete(models_folder() / SMOLLM2.name) else None
        case NamedModel():
            return Path(source.path) if source.base is None else local_folder(source.base)
        case CuratedModel():
            return _in_hub_cache(source.hub)
        case HubName():
            return _in_hub_cache(source)
        case FolderSource(path):
            return path if only_gguf(name, path) is None else None
        case GgufSource():
            return None


def _in_hub_cache(name: HubName) -> Path | None:
    copy = local_copy(name)
    return copy.path if copy is not None and name.file is None else None
