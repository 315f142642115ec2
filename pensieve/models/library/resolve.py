"""What the user calls a model, and the folder that it is in (U1, U3)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.adapter_folder import require_adapter
from pensieve.models.files.atomic_folder import is_complete
from pensieve.models.files.home import models_folder
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import Progress
from pensieve.models.gguf.converted_folder import gguf_folder
from pensieve.models.hub.name import HubName, hub_name
from pensieve.models.hub.pull import hub_copy
from pensieve.models.library.aliases import listed_model, listed_models
from pensieve.models.library.embedded import SMOLLM2, embedded_folder
from pensieve.models.library.names import NamedModel, named_model, named_models
from pensieve.models.loading.contents import only_gguf, validate_folder


def resolve(source: str, *, progress: Progress) -> ModelFolder:
    """Find a model, fetching or converting it first if need be.

    `source` is the embedded model's name, a name that was given with `pensieve models import`, an alias of the
    catalogue, a folder or .gguf file on this machine, or a hub's `organisation/name`, `organisation/name/file.gguf`,
    either with `@revision`. They are looked for in this order: `./name` is a folder, whatever bears that name.

    Raises:
        ModelLoadingError: it is none of these, or its files are not there, damaged or out of reach.
    """
    path = Path(source).expanduser()
    if source == SMOLLM2.name:
        folder = ModelFolder(embedded_folder(progress), SMOLLM2.name, SMOLLM2.display_name, SMOLLM2.released_at)
    elif (named := named_model(source)) is not None:
        folder = _named(named, progress)
    elif (listed := listed_model(source)) is not None:
        folder = replace(_from_hub(listed.hub, progress), id=source, display_name=listed.name)
    elif source and path.is_dir():
        folder = _on_this_machine(source, path.resolve(), progress)
    elif source and path.is_file() and path.suffix.lower() == ".gguf":
        folder = _folder(gguf_folder(path.resolve(), progress), path.stem)
    elif (hub := hub_name(source)) is not None:
        folder = _from_hub(hub, progress)
    elif source and is_complete(models_folder() / source):
        folder = _folder(models_folder() / source, source)
    else:
        raise ModelLoadingError(source or "a model without a name", _understood(source))
    validate_folder(source, folder.path)
    return folder


def _on_this_machine(source: str, path: Path, progress: Progress) -> ModelFolder:
    """A folder of mlx-lm's form, or one that holds a GGUF file and nothing else that is a model."""
    gguf = only_gguf(source, path)
    return _folder(path, path.name) if gguf is None else _folder(gguf_folder(gguf, progress), gguf.stem)


def _named(named: NamedModel, progress: Progress) -> ModelFolder:
    path = Path(named.path)
    if not path.is_dir():
        mend = f"put it back, or run `pensieve models remove {named.name}`"
        raise ModelLoadingError(named.name, f"it was imported from {named.origin}, and {path} is gone: {mend}")
    if named.base is None:
        return _folder(path, named.name)
    require_adapter(named.name, path)
    return replace(resolve(named.base, progress=progress), id=named.name, display_name=named.name, adapter=path)


def _from_hub(hub: HubName, progress: Progress) -> ModelFolder:
    copy = hub_copy(hub, progress)
    if hub.file is None:
        return _folder(copy.path, str(hub), revision=copy.commit)
    return _folder(gguf_folder(copy.path, progress), copy.path.stem, revision=copy.commit)


def _folder(path: Path, name: str, *, revision: str | None = None) -> ModelFolder:
    config = path / "config.json"
    modified = datetime.fromtimestamp(config.stat().st_mtime if config.exists() else 0, UTC)
    return ModelFolder(path, name, name, modified.strftime("%Y-%m-%dT%H:%M:%SZ"), revision)


def _understood(source: str) -> str:
    path = Path(source).expanduser()
    there = f"{path} is a file, but no .gguf file" if source and path.is_file() else "there is no such folder or file"
    return (
        f"{there}.{closest(source, known_names())} A model can be {SMOLLM2.name} (the embedded "
        "one), an imported name (`pensieve models list` shows them), an alias (`pensieve models list --available`), a "
        "folder or .gguf file on this machine, or organisation/name on the Hugging Face hub"
    )


def closest(name: str, names: Iterable[str]) -> str:
    """A question after what was meant, with a space before it; nothing, where no name is near."""
    close = difflib.get_close_matches(name, list(names), n=3) if name else []
    return f" Did you mean {' or '.join(close)}?" if close else ""


def known_names() -> list[str]:
    """Every name without a slash that means something here."""
    return [SMOLLM2.name, *(model.name for model in named_models()), *(model.alias for model in listed_models())]
