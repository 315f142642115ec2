"""A fingerprint of everything that a KV cache depends on: KV of another fingerprint is never read (C2).

It covers the content of the model's files, the chat template, the backend, the data types (which also show how the
weights are packed), the kinds of caches, and the versions of mlx and mlx-lm.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pensieve.device.device import device_info
from pensieve.models.files.atomic_folder import is_complete, recorded_sha256
from pensieve.models.files.checksums import cached_sha256
from pensieve.models.files.progress import SilentProgress

if TYPE_CHECKING:
    from pensieve.models.loading.load import LoadedModel

_FORMAT: Final = 1
"""Increased when the disk tier's file format changes, so that older files have another fingerprint."""
_MEANING: Final = 1
"""Increased when the same model files come to give other numbers: `rope_parameters` was not read before 1."""
_SUFFIXES: Final = frozenset({".safetensors", ".json", ".jinja", ".model", ".tiktoken", ".txt", ".py"})


def fingerprint_of(folder: Path, model: LoadedModel, adapter: Path | None = None) -> str:
    """The fingerprint of a model loaded from `folder` and `adapter`. On the thread that owns MLX.

    The first call reads every file, which takes seconds for gigabytes, unless Pensieve wrote the folder itself.
    Checksums are cached by path, size and modification time.

    Raises:
        OSError: a file cannot be read.
    """
    parts = {
        "format": _FORMAT,
        "reading": _MEANING,
        "files": _file_sums(folder),
        "template": str(getattr(model.tokenizer, "chat_template", "")),
        "device": device_info().backend,
        "types": _types(model.model),
        "caches": _cache_kinds(model.model),
        "versions": [version("mlx"), version("mlx-lm")],
    }
    if adapter is not None:
        parts["adapter"] = _file_sums(adapter)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _types(module: Any) -> list[str]:
    from mlx.utils import tree_flatten  # noqa: PLC0415 - the BLAS comes first

    arrays = cast("list[tuple[str, Any]]", tree_flatten(module.parameters()))
    return sorted({str(array.dtype) for _, array in arrays})


def _cache_kinds(module: Any) -> list[str]:
    from pensieve.device.mlx_lm import caches as mlx_lm_caches  # noqa: PLC0415 - half a second

    return [type(cache).__name__ for cache in mlx_lm_caches.new_caches(module)]


def _file_sums(folder: Path) -> dict[str, str]:
    """SHA-256 by file name, of the files that decide what a model computes."""
    if is_complete(folder):
        return recorded_sha256(folder)
    paths = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    return {path.name: digest for path, digest in zip(paths, cached_sha256(paths, SilentProgress()), strict=True)}
