"""A model's config and tokenizer, from a model that need not be loaded, converted or even on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.progress import Progress
from pensieve.models.gguf.convert import planned_model
from pensieve.models.gguf.file import open_gguf
from pensieve.models.gguf.tokenizers.build import tokenizer_files
from pensieve.models.hub.download import without_bars
from pensieve.models.hub.errors import hub_errors_explained
from pensieve.models.hub.local import PATTERNS, local_copy
from pensieve.models.hub.name import HubName
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.library.local_folder import local_folder
from pensieve.models.library.source import EmbeddedSource, FolderSource, GgufSource, parse_hub_source, parse_source
from pensieve.models.loading.config import CONFIG, read_config
from pensieve.models.loading.contents import only_gguf

_WEIGHTS: Final = ["*.safetensors", "*.index.json"]


@dataclass(frozen=True, slots=True)
class SmallFiles:
    """The first call of `tokenizer_folder` fetches or writes the tokenizer's files, which may be 30 MB."""

    config: Mapping[str, Any]
    tokenizer_folder: Callable[[], Path]


@contextmanager
def without_weights(name: str, progress: Progress) -> Iterator[SmallFiles]:
    """By any name that `resolve` accepts. Of all models only the embedded one, which is small, is fetched whole.

    Raises:
        ModelLoadingError: there is no such model, it cannot be reached, or a file is damaged.
    """
    with ExitStack() as stack:
        if isinstance(parse_source(name), EmbeddedSource):
            embedded_folder(progress)
        if (folder := local_folder(name)) is not None:
            yield _of_folder(name, folder)
        elif (gguf := _gguf_file(name)) is not None:
            yield stack.enter_context(_of_gguf(gguf))
        elif (hub := parse_hub_source(name)) is not None and hub.file is None:
            yield stack.enter_context(_of_hub(hub))
        else:
            raise ModelLoadingError(name, "its config cannot be read before it is on this machine")


def _of_folder(name: str, folder: Path) -> SmallFiles:
    return SmallFiles(read_config(name, folder), lambda: folder)


def _gguf_file(name: str) -> Path | None:
    """None if it is not a GGUF file, or not on this machine."""
    match source := parse_source(name):
        case GgufSource(path):
            return path
        case FolderSource(path):
            return only_gguf(name, path)
        case HubName() if source.file is not None:
            copy = local_copy(source)
            return None if copy is None else copy.path
    return None


@contextmanager
def _of_gguf(path: Path) -> Iterator[SmallFiles]:
    with open_gguf(path) as gguf, tempfile.TemporaryDirectory(prefix="pensieve-") as name:
        folder = Path(name)

        def write_tokenizer() -> Path:
            for file, content in tokenizer_files(gguf).items():
                (folder / file).write_text(json.dumps(content), encoding="utf-8")
            return folder

        config, _ = planned_model(gguf)
        yield SmallFiles(config, write_tokenizer)


@contextmanager
def _of_hub(name: HubName) -> Iterator[SmallFiles]:
    """In a temporary folder: in the hub's cache, a model without weights would pass for a broken one."""
    with tempfile.TemporaryDirectory(prefix="pensieve-") as folder:
        _fetch(name, [CONFIG], folder)
        config = read_config(str(name), Path(folder))

        def fetch_tokenizer() -> Path:
            _fetch(name, list(PATTERNS), folder)
            return Path(folder)

        yield SmallFiles(config, fetch_tokenizer)


def _fetch(name: HubName, patterns: list[str], folder: str) -> None:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - half a second

    with hub_errors_explained(name), without_bars():
        snapshot_download(
            name.name, revision=name.revision, allow_patterns=patterns, ignore_patterns=_WEIGHTS, local_dir=folder
        )
