"""Which models are on this machine, wherever they came from, by the names that serve them (U3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pensieve.core.errors import NotFoundError
from pensieve.models.files.atomic_folder import is_complete
from pensieve.models.files.home import models_folder
from pensieve.models.files.progress import SilentProgress
from pensieve.models.hub.local import local_copy
from pensieve.models.hub.name import HubName
from pensieve.models.hub.pins import pinned
from pensieve.models.library.aliases import curated_models
from pensieve.models.library.embedded import SMOLLM2, embedded_folder
from pensieve.models.library.names import NamedModel, named_models
from pensieve.models.library.source import closest, parse_hub_source
from pensieve.models.library.user_path import is_folder
from pensieve.models.safetensors.shards import missing_weights

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo, CachedRevisionInfo

Kind = Literal["embedded", "hub", "hub gguf", "gguf", "folder", "copy", "adapter", "conversion"]
_SHORT_COMMIT_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class LocalModel:
    """`name` serves it. `path` is a folder, or a GGUF file in the hub cache; `num_bytes` is the size on disk.

    For an adapter, `path` is the adapter's own folder and `base` the name of its base model. `hub` and `revision` are
    set for models in the hub cache.
    """

    name: str
    kind: Kind
    path: Path
    num_bytes: int
    origin: str
    revision: str | None = None
    base: str | None = None
    aliases: tuple[str, ...] = ()
    hub: HubName | None = None


def local_models() -> list[LocalModel]:
    """The embedded model first, then imported ones, those in the hub cache, and conversions without a name.

    Raises:
        ModelLoadingError: names.json cannot be read.
    """
    hub_models = sorted(_hub_models(), key=lambda model: model.name)
    return [*_embedded(), *map(_imported, named_models()), *hub_models, *_conversions()]


def find_local(name: str) -> LocalModel | None:
    """By its name, an alias, or a hub name that spells the revision differently."""
    models = local_models()
    hub = parse_hub_source(name)
    wanted = name if hub is None else str(hub)
    if (found := next((model for model in models if model.name == wanted), None)) is not None:
        return found
    return None if hub is None else next((model for model in models if _is_same_revision(model, hub)), None)


def _is_same_revision(model: LocalModel, wanted: HubName) -> bool:
    if model.hub is None or (model.hub.name, model.hub.file) != (wanted.name, wanted.file):
        return False
    copy = local_copy(wanted)
    return copy is not None and copy.commit == model.revision


def require_local(name: str) -> LocalModel:
    """
    Raises:
        NotFoundError: it is not on this machine; the message has the closest names.
        ModelLoadingError: names.json cannot be read.
    """
    found = find_local(name)
    if found is None:
        suggestion = closest(name, [model.name for model in local_models()])
        raise NotFoundError(
            f"{name} is not on this machine.{suggestion} `pensieve models list` shows the models that are, and "
            f"`pensieve fit {name}` inspects a model that is still on the hub",
            field="model",
        )
    return found


def folder_bytes(folder: Path) -> int:
    """The total size of all files in the folder and its subfolders."""
    if not is_folder(folder):
        return 0
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _embedded() -> Iterator[LocalModel]:
    folder = models_folder() / SMOLLM2.name
    if is_complete(folder):
        embedded_folder(SilentProgress())  # completes a folder that an earlier version made
        yield LocalModel(SMOLLM2.name, "embedded", folder, folder_bytes(folder), SMOLLM2.requirement)


def _imported(model: NamedModel) -> LocalModel:
    path = Path(model.path)
    return LocalModel(model.name, model.kind, path, folder_bytes(path), model.origin, base=model.base)


def _conversions() -> Iterator[LocalModel]:
    taken = {Path(model.path) for model in named_models()} | {models_folder() / SMOLLM2.name}
    folders = sorted(models_folder().iterdir()) if models_folder().is_dir() else []
    for folder in folders:
        if folder not in taken and is_complete(folder):
            yield LocalModel(folder.name, "conversion", folder, folder_bytes(folder), "a GGUF file")


def _hub_models() -> Iterator[LocalModel]:
    for repo in hub_repos():
        for revision in repo.revisions:
            yield from _models_of_revision(repo, revision)


def hub_repos() -> Iterable[CachedRepoInfo]:
    """The model repositories in huggingface_hub's cache, whichever program fetched them."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir  # noqa: PLC0415 - takes half a second

    try:
        return [repo for repo in scan_cache_dir(constants.HF_HUB_CACHE).repos if repo.repo_type == "model"]
    except CacheNotFound:
        return []


def _models_of_revision(repo: CachedRepoInfo, revision: CachedRevisionInfo) -> Iterator[LocalModel]:
    folder, commit = revision.snapshot_path, revision.commit_hash
    if (folder / "config.json").exists() and not missing_weights(folder):
        name = _shortest_name(HubName(repo.repo_id), repo, revision)
        aliases = tuple(
            model.alias
            for model in curated_models()
            if model.name == repo.repo_id and (model.revision == commit if model.revision else str(name) == model.name)
        )
        size = revision.size_on_disk
        yield LocalModel(str(name), "hub", folder, size, "hub", commit, aliases=aliases, hub=name)
    for file in sorted(revision.files, key=lambda cached: str(cached.file_path)):
        if file.file_name.lower().endswith(".gguf"):
            path = file.file_path.relative_to(folder).as_posix()
            name = _shortest_name(HubName(repo.repo_id, path), repo, revision)
            yield LocalModel(str(name), "hub gguf", file.file_path, file.size_on_disk, "hub", commit, hub=name)


def _shortest_name(name: HubName, repo: CachedRepoInfo, revision: CachedRevisionInfo) -> HubName:
    """The bare name if it stands for this revision; otherwise with a branch, a tag or a short commit."""
    if _is_current(name, repo, revision):
        return name
    refs = sorted(revision.refs - {"main"})
    return replace(name, revision=(refs or [revision.commit_hash[:_SHORT_COMMIT_DIGITS]])[0])


def _is_current(name: HubName, repo: CachedRepoInfo, revision: CachedRevisionInfo) -> bool:
    """Whether the bare name stands for this revision."""
    commits = {other.commit_hash for other in repo.revisions}
    pulled = pinned(name.bare)
    return pulled == revision.commit_hash if pulled in commits else "main" in revision.refs
