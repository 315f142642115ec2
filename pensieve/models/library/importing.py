"""Giving a name to a model of the user's own: a GGUF file, a folder in mlx-lm's form, an adapter on a base (U3)."""

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
from pensieve.models.hub.name import hub_name
from pensieve.models.library.aliases import listed_model
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.inventory import folder_bytes
from pensieve.models.library.names import NamedModel, add_name, named_model, require_free_name
from pensieve.models.loading.contents import only_gguf, validate_folder


def import_model(path: Path, name: str | None, *, copy: bool, progress: Progress) -> NamedModel:
    """Name a GGUF file, or the only one in a folder, which is converted; or a folder in mlx-lm's form: itself, or with
    `copy` a copy of it.

    Without a `name` it is called as the file or folder is.

    Raises:
        ModelLoadingError: the name is taken or no name, there is nothing of the kind, or it cannot be converted.
    """
    asked, path = str(path), path.expanduser().resolve()
    if path.is_dir():
        path = only_gguf(asked, path) or path
    name = name or re.sub(r"[^\w.-]+", "-", path.stem if path.suffix.lower() == ".gguf" else path.name)
    if not path.exists():
        mend = f"; `pensieve models pull {asked}` would fetch it from the hub" if hub_name(asked) else ""
        raise ModelLoadingError(str(path), f"there is no such file or folder{mend}")
    require_free_name(name)
    if path.is_dir():
        validate_folder(str(path), path)
        place = _placed(name, path, copy=copy, progress=progress)
        model = NamedModel(name, "copy" if copy else "folder", str(path), str(place))
    elif path.suffix.lower() == ".gguf":
        model = NamedModel(name, "gguf", str(path), str(gguf_folder(path, progress)))
    else:
        raise ModelLoadingError(
            str(path), "it is a file, but no .gguf file; a folder in mlx-lm's form can be imported too"
        )
    add_name(model)
    return model


def import_adapter(path: Path, base: str, name: str, *, copy: bool, progress: Progress) -> NamedModel:
    """Name an adapter on a base, which is whatever serves a model; it is found, or fetched, when it is served.

    Raises:
        ModelLoadingError: the name is taken or no name, it is no adapter, or the base means nothing.
    """
    path = path.expanduser().resolve()
    require_free_name(name)
    require_adapter(str(path), path)
    base = _whole_base(base)
    model = NamedModel(name, "adapter", str(path), str(_placed(name, path, copy=copy, progress=progress)), base)
    add_name(model)
    return model


def _whole_base(base: str) -> str:
    """The base in words that mean the same from every folder."""
    named = named_model(base)
    if named is not None and named.base is not None:
        raise ModelLoadingError(base, f"it is an adapter on {named.base} itself; name that as the --base")
    path = Path(base).expanduser()
    if named is not None or listed_model(base) is not None or base == SMOLLM2.name:
        return base
    if path.exists():
        return str(path.resolve())
    if hub_name(base) is None:
        raise ModelLoadingError(base, "there is no such model for the adapter to stand on; see `pensieve models list`")
    return base


def _placed(name: str, folder: Path, *, copy: bool, progress: Progress) -> Path:
    """The folder itself; with `copy`, one in Pensieve's home with the same files."""
    if not copy:
        return folder
    place = models_folder() / name
    if place.exists():
        raise ModelLoadingError(name, f"{place} is there already; run `pensieve models remove {name}` first")
    copy_files = partial(_copy_files, folder)
    make_folder(place, copy_files, source=str(folder), needed_bytes=folder_bytes(folder), progress=progress)
    return place


def _copy_files(folder: Path, into: Path) -> None:
    for file in folder.iterdir():
        if file.is_file():
            shutil.copyfile(file, into / file.name)
