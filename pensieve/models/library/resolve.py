"""From a user's name for a model to the folder that holds it, fetched or converted first if needed (U1, U3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.adapter_folder import require_adapter
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import Progress
from pensieve.models.gguf.converted_folder import gguf_folder
from pensieve.models.hub.name import HubName
from pensieve.models.hub.pull import hub_copy
from pensieve.models.library.aliases import CuratedModel
from pensieve.models.library.embedded import SMOLLM2, embedded_folder
from pensieve.models.library.names import NamedModel
from pensieve.models.library.source import EmbeddedSource, FolderSource, GgufSource, Source, parse_source
from pensieve.models.library.user_path import is_folder
from pensieve.models.loading.contents import only_gguf, validate_folder


def resolve(source: str, *, progress: Progress) -> ModelFolder:
    """Find a model by any name that `parse_source` accepts, and fetch or convert it if needed.

    Raises:
        ModelLoadingError: the name refers to nothing, or the model's files are missing, damaged or unreachable.
    """
    folder = _found(source, parse_source(source), progress)
    validate_folder(source, folder.path)
    return folder


def _found(name: str, source: Source, progress: Progress) -> ModelFolder:
    match source:
        case EmbeddedSource():
            return ModelFolder(embedded_folder(progress), SMOLLM2.name, SMOLLM2.display_name, SMOLLM2.released_at)
        case NamedModel():
            return _imported(source, progress)
        case CuratedModel():
            return replace(_from_hub(source.hub, progress), id=name, display_name=source.name)
        case FolderSource(path):
            gguf = only_gguf(name, path)
            return _model_folder(path, path.name) if gguf is None else _converted(gguf, progress)
        case GgufSource(path):
            return _converted(path, progress)
        case HubName():
            return _from_hub(source, progress)
        case _:
            assert_never(source)


def _imported(model: NamedModel, progress: Progress) -> ModelFolder:
    path = Path(model.path)
    if not is_folder(path):
        raise ModelLoadingError(
            model.name,
            f"it was imported from {model.origin}, but {path} no longer exists: put it back, or run "
            f"`pensieve models remove {model.name}`",
        )
    if model.base is None:
        return _model_folder(path, model.name)
    require_adapter(model.name, path)
    return replace(resolve(model.base, progress=progress), id=model.name, display_name=model.name, adapter=path)


def _converted(gguf: Path, progress: Progress) -> ModelFolder:
    return _model_folder(gguf_folder(gguf.resolve(), progress), gguf.stem)


def _from_hub(name: HubName, progress: Progress) -> ModelFolder:
    copy = hub_copy(name, progress)
    if name.file is None:
        return _model_folder(copy.path, str(name), revision=copy.commit)
    return _model_folder(gguf_folder(copy.path, progress), copy.path.stem, revision=copy.commit)


def _model_folder(path: Path, name: str, *, revision: str | None = None) -> ModelFolder:
    config = path / "config.json"
    modified = datetime.fromtimestamp(config.stat().st_mtime if config.exists() else 0, UTC)
    return ModelFolder(path, name, name, modified.strftime("%Y-%m-%dT%H:%M:%SZ"), revision)
