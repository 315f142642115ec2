"""Naming a model of the user's own: a GGUF file, a folder in MLX format, or an adapter on a base model (U3)."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.adapter_folder import require_adapter
from pensieve.models.files.atomic_folder import make_folder
from pensieve.models.files.home import models_folder
from pensieve.models.files.progress import Progress
from pensieve.models.gguf.converted_folder import gguf_folder
from pensieve.models.hub.name import parse_hub_name
from pensieve.models.library.inventory import folder_bytes
from pensieve.models.library.names import NamedModel, add_name, require_free_name
from pensieve.models.library.source import FolderSource, GgufSource, parse_source
from pensieve.models.library.user_path import user_path
from pensieve.models.loading.contents import only_gguf, validate_folder


def import_model(path: Path, name: str | None, *, copy: bool, progress: Progress) -> NamedModel:
    """Name a folder in MLX format, or a GGUF file, which is converted. A folder that holds one GGUF file and no model
    counts as that file. With `copy`, a folder is copied; otherwise it is used where it is.

    Without a `name`, the model is named after the file or folder.

    Raises:
        ModelLoadingError: the name is invalid or taken, the path holds no model, or the file cannot be converted.
    """
    given, path = str(path), _resolved(path)
    if path.is_dir():
        path = only_gguf(given, path) or path
    name = name or re.sub(r"[^\w.-]+", "-", path.stem if path.suffix.lower() == ".gguf" else path.name)
    if not path.exists():
        hint = f"; `pensieve models pull {given}` would fetch it from the hub" if parse_hub_name(given) else ""
        raise ModelLoadingError(str(path), f"there is no such file or folder{hint}")
    require_free_name(name)
    if path.is_dir():
        validate_folder(str(path), path)
        place = _placed(name, path, copy=copy, progress=progress)
        model = NamedModel(name, "copy" if copy else "folder", str(path), str(place))
    elif path.suffix.lower() == ".gguf":
        model = NamedModel(name, "gguf", str(path), str(gguf_folder(path, progress)))
    else:
        raise ModelLoadingError(
            str(path), "it is a file, but not a .gguf file; a folder in MLX format can be imported too"
        )
    add_name(model)
    return model


def import_adapter(path: Path, base: str, name: str, *, copy: bool, progress: Progress) -> NamedModel:
    """Name an adapter on a base model. The base is looked up, and fetched if needed, when the model is served.

    Raises:
        ModelLoadingError: the name is invalid or taken, the folder is not an adapter, or there is no such base.
    """
    path = _resolved(path)
    require_free_name(name)
    require_adapter(str(path), path)
    base = _base_from_anywhere(base)
    model = NamedModel(name, "adapter", str(path), str(_placed(name, path, copy=copy, progress=progress)), base)
    add_name(model)
    return model


def _resolved(path: Path) -> Path:
    """
    Raises:
        ModelLoadingError: no file can have this name, or this user may not look there.
    """
    try:
        resolved = user_path(str(path)).resolve()
        resolved.exists()
    except (OSError, ValueError) as error:
        raise ModelLoadingError(str(path), getattr(error, "strerror", None) or str(error)) from error
    return resolved


def _base_from_anywhere(base: str) -> str:
    """A name for the base that means the same in every working directory."""
    source = parse_source(base)
    if isinstance(source, NamedModel) and source.base is not None:
        raise ModelLoadingError(base, f"it is an adapter on {source.base} itself; give that as the --base")
    return str(source.path.resolve()) if isinstance(source, (FolderSource, GgufSource)) else base


def _placed(name: str, folder: Path, *, copy: bool, progress: Progress) -> Path:
    """The folder itself; with `copy`, a folder in Pensieve's home with the same files."""
    if not copy:
        return folder
    place = models_folder() / name
    if place.exists():
        raise ModelLoadingError(name, f"{place} already exists; run `pensieve models remove {name}` first")
    copy_files = partial(_copy_files, folder)
    make_folder(place, copy_files, source=str(folder), needed_bytes=folder_bytes(folder), progress=progress)
    return place


def _copy_files(folder: Path, into: Path) -> None:
    for file in folder.iterdir():
        if file.is_file():
            shutil.copyfile(file, into / file.name)
