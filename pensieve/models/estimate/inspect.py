"""What a model's files say of it before they are loaded, or even here: config.json and the heads of its weights."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.progress import Progress
from pensieve.models.gguf.convert import planned_model
from pensieve.models.gguf.file import open_gguf
from pensieve.models.hub.name import HubName, hub_name
from pensieve.models.hub.pull import explained, local_copy
from pensieve.models.library.aliases import listed_model
from pensieve.models.library.names import NamedModel, named_model
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.config import read_config
from pensieve.models.loading.contents import only_gguf
from pensieve.models.safetensors.headers import TensorHeader, folder_headers, headers_of


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """`where` is a phrase: what was read, and whether the model is here."""

    name: str
    config: Mapping[str, Any]
    headers: Sequence[TensorHeader]
    where: str


def announced(source: str, *, progress: Progress) -> ModelMetadata:
    """A model by any name that `resolve` takes. Weights are neither fetched nor converted.

    The embedded model alone, being small, is fetched where it is not here.

    Raises:
        ModelLoadingError: there is no such model, it is out of reach, or what was read of it is damaged.
    """
    path = Path(source).expanduser()
    named, listed = named_model(source), listed_model(source)
    if named is not None:
        return _of_named(named, progress)
    if listed is not None:
        return replace(_of_hub(listed.hub), name=source)
    if source and path.is_dir():
        return _of_folder(source, path.resolve())
    if source and path.is_file() and path.suffix.lower() == ".gguf":
        return _of_gguf(source, path)
    hub = None if path.exists() else hub_name(source)
    return _of_hub(hub) if hub is not None else _of_folder(source, resolve(source, progress=progress).path)


def _of_named(named: NamedModel, progress: Progress) -> ModelMetadata:
    if named.base is None:
        return _of_folder(named.name, Path(named.path))
    base = announced(named.base, progress=progress)
    return replace(base, name=named.name, where=f"{base.where}; what its adapter adds is not counted")


def _of_folder(source: str, folder: Path) -> ModelMetadata:
    gguf = only_gguf(source, folder)
    if gguf is not None:
        return _of_gguf(source, gguf)
    return ModelMetadata(source, read_config(source, folder), folder_headers(source, folder), f"the files in {folder}")


def _of_gguf(source: str, path: Path) -> ModelMetadata:
    """As it will be when it is converted."""
    with open_gguf(path) as gguf:
        config, tensors = planned_model(gguf)
    headers = [TensorHeader(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]
    return ModelMetadata(source, config, headers, f"the head of {path}, as it will be when it is converted")


def _of_hub(hub: HubName) -> ModelMetadata:
    copy = local_copy(hub)
    if copy is not None:
        told = _of_gguf(str(hub), copy.path) if hub.file is not None else _of_folder(str(hub), copy.path)
        return replace(told, name=str(hub))
    if hub.file is not None:
        mend = f"`pensieve models pull {hub}` fetches it"
        raise ModelLoadingError(str(hub), f"of a GGUF file on the hub nothing can be told before it is here: {mend}")
    return _of_distant(hub)


def _of_distant(hub: HubName) -> ModelMetadata:
    """By what the hub says of the weights' heads. Nothing goes into its cache, where it would pass for a model."""
    from huggingface_hub import get_safetensors_metadata, hf_hub_download  # noqa: PLC0415 - takes half a second

    with explained(hub), tempfile.TemporaryDirectory(prefix="pensieve-fit-") as folder:
        config = hf_hub_download(hub.name, "config.json", revision=hub.revision, local_dir=folder)
        content = read_config(str(hub), Path(config).parent)
        metadata = get_safetensors_metadata(hub.name, revision=hub.revision)
    headers: list[TensorHeader] = []
    for file in metadata.files_metadata.values():
        entries = {name: {"dtype": tensor.dtype, "shape": tensor.shape} for name, tensor in file.tensors.items()}
        headers += headers_of(entries)
    return ModelMetadata(str(hub), content, headers, "the hub's word; it is not on this machine yet")
