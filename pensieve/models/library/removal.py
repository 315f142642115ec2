"""Removing models from this machine: Pensieve's own files are deleted, the user's own are left in place (U3)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.home import models_folder
from pensieve.models.hub.name import HubName
from pensieve.models.hub.pins import unpin
from pensieve.models.library.inventory import LocalModel, folder_bytes
from pensieve.models.library.names import drop_name, named_models

if TYPE_CHECKING:
    from huggingface_hub import HFCacheInfo


def remove(model: LocalModel) -> int:
    """Remove a model, and return the number of bytes freed.

    Raises:
        ModelLoadingError: an imported adapter needs it as its base, or its files cannot be deleted.
    """
    adapters = [named.name for named in named_models() if named.base in (model.name, *model.aliases)]
    if adapters:
        raise ModelLoadingError(model.name, f"it is the base of {', '.join(adapters)}; remove that first")
    try:
        if model.hub is not None and model.revision is not None:
            return _remove_from_hub_cache(model.hub, model.revision, model.path)
        if model.kind not in ("embedded", "conversion"):
            drop_name(model.name)
        return _delete_folder(model.path)
    except OSError as error:
        raise ModelLoadingError(model.name, f"its files cannot be deleted: {error}") from error


def _delete_folder(folder: Path) -> int:
    """Delete a folder in Pensieve's home, unless another name refers to it."""
    is_needed = any(Path(named.path) == folder for named in named_models())
    if folder.parent != models_folder() or is_needed:
        return 0
    num_bytes = folder_bytes(folder)
    shutil.rmtree(folder)
    return num_bytes


def _remove_from_hub_cache(name: HubName, commit: str, path: Path) -> int:
    """Delete the revision with huggingface_hub; if it has several GGUF files, only the one at `path`."""
    from huggingface_hub import constants, scan_cache_dir  # noqa: PLC0415 - takes half a second

    cache = scan_cache_dir(constants.HF_HUB_CACHE)
    if name.file is not None and _num_ggufs(cache, name.name, commit) > 1:
        unpin(name.bare, commit)
        return _delete_file(cache, path)
    strategy = cache.delete_revisions(commit)
    strategy.execute()
    unpin(name.bare, commit)
    return int(strategy.expected_freed_size)


def _num_ggufs(cache: HFCacheInfo, name: str, commit: str) -> int:
    revisions = [revision for repo in cache.repos if repo.repo_id == name for revision in repo.revisions]
    files = [file for revision in revisions if revision.commit_hash == commit for file in revision.files]
    return sum(file.file_name.lower().endswith(".gguf") for file in files)


def _delete_file(cache: HFCacheInfo, path: Path) -> int:
    files = [file for repo in cache.repos for revision in repo.revisions for file in revision.files]
    (own,) = (file for file in files if file.file_path == path)
    is_shared = any(file.blob_path == own.blob_path for file in files if file is not own)
    own.file_path.unlink()
    if is_shared:
        return 0
    own.blob_path.unlink(missing_ok=True)
    return int(own.size_on_disk)
