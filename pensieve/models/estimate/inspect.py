"""What a model's files state about it before it is loaded or even fetched: config.json and the weights' headers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, assert_never

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.progress import Progress
from pensieve.models.gguf.convert import planned_model
from pensieve.models.gguf.file import open_gguf
from pensieve.models.hub.errors import hub_errors_explained
from pensieve.models.hub.local import local_copy
from pensieve.models.hub.name import HubName
from pensieve.models.library.aliases import CuratedModel
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.library.names import NamedModel
from pensieve.models.library.source import EmbeddedSource, FolderSource, GgufSource, Source, parse_source
from pensieve.models.loading.config import read_config
from pensieve.models.loading.contents import only_gguf
from pensieve.models.safetensors.headers import TensorHeader, folder_headers, headers_of


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """`where` is a phrase for people: what was read, and whether the model is on this machine."""

    name: str
    config: Mapping[str, Any]
    headers: Sequence[TensorHeader]
    where: str


def inspect_model(source: str, *, progress: Progress) -> ModelMetadata:
    """The metadata of a model, by any name that `resolve` accepts. Weights are neither fetched nor converted, except
    those of the embedded model, which is small.

    Raises:
        ModelLoadingError: there is no such model, it cannot be reached, or a file is damaged.
    """
    return _metadata(source, parse_source(source), progress)


def _metadata(name: str, source: Source, progress: Progress) -> ModelMetadata:
    match source:
        case EmbeddedSource():
            return _of_folder(name, embedded_folder(progress))
        case NamedModel():
            return _of_imported(source, progress)
        case CuratedModel():
            return replace(_of_hub(source.hub), name=name)
        case FolderSource(path):
            return _of_folder(name, path)
        case GgufSource(path):
            return _of_gguf(name, path)
        case HubName():
            return _of_hub(source)
        case _:
            assert_never(source)


def _of_imported(model: NamedModel, progress: Progress) -> ModelMetadata:
    if model.base is None:
        return _of_folder(model.name, Path(model.path))
    base = inspect_model(model.base, progress=progress)
    return replace(base, name=model.name, where=f"{base.where}; the adapter's own weights are not counted")


def _of_folder(name: str, folder: Path) -> ModelMetadata:
    gguf = only_gguf(name, folder)
    if gguf is not None:
        return _of_gguf(name, gguf)
    return ModelMetadata(name, read_config(name, folder), folder_headers(name, folder), f"the files in {folder}")


def _of_gguf(name: str, path: Path) -> ModelMetadata:
    """The metadata that the converted model will have."""
    with open_gguf(path) as gguf:
        config, tensors = planned_model(gguf)
    headers = [TensorHeader(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]
    return ModelMetadata(name, config, headers, f"the header of {path}, as the model will be once converted")


def _of_hub(name: HubName) -> ModelMetadata:
    copy = local_copy(name)
    if copy is not None:
        found = _of_gguf(str(name), copy.path) if name.file is not None else _of_folder(str(name), copy.path)
        return replace(found, name=str(name))
    if name.file is not None:
        raise ModelLoadingError(
            str(name),
            f"a GGUF file cannot be inspected before it is on this machine: run `pensieve models pull {name}`",
        )
    return _of_remote(name)


def _of_remote(name: HubName) -> ModelMetadata:
    """From the weights' headers on the hub. Nothing is stored in the hub cache, where it would pass for a model."""
    from huggingface_hub import get_safetensors_metadata, hf_hub_download  # noqa: PLC0415 - takes half a second

    with hub_errors_explained(name), tempfile.TemporaryDirectory(prefix="pensieve-fit-") as folder:
        path = hf_hub_download(name.name, "config.json", revision=name.revision, local_dir=folder)
        config = read_config(str(name), Path(path).parent)
        metadata = get_safetensors_metadata(name.name, revision=name.revision)
    headers: list[TensorHeader] = []
    for file in metadata.files_metadata.values():
        entries = {key: {"dtype": tensor.dtype, "shape": tensor.shape} for key, tensor in file.tensors.items()}
        headers += headers_of(entries)
    return ModelMetadata(str(name), config, headers, "metadata on the hub; the model is not on this machine yet")
