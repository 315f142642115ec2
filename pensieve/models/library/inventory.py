"""Which models are on this machine, wherever they came from, by the names that serve them (U3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pensieve.core.errors import NotFoundError
from pensieve.models.files.atomic_folder import is_complete
from pensieve.models.files.home import models_folder
from pensieve.models.hub.name import HubName, hub_name
from pensieve.models.hub.pins import pinned
from pensieve.models.hub.pull import local_copy
from pensieve.models.library.aliases import listed_model, listed_models
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.names import NamedModel, named_models
from pensieve.models.library.resolve import closest
from pensieve.models.safetensors.shards import missing_weights

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo, CachedRevisionInfo

Kind = Literal["embedded", "hub", "hub gguf", "gguf", "folder", "copy", "adapter", "conversion"]
_SHORT: Final = 12
"""Digits of a commit that tell it from the others here."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """`name` serves it. `path` is a folder, or a GGUF file of the hub's; `num_bytes` what lies there.

    An adapter's path is its own folder; `base` says on what it goes. `aliases` are other names of it.
    """

    name: str
    kind: Kind
    path: Path
    num_bytes: int
    origin: str
    revision: str | None = None
    base: str | None = None
    aliases: tuple[str, ...] = ()


def local_models() -> list[LocalModel]:
    """The embedded one first, then the imported ones, those of the hub, and conversions that no name stands for.

    Raises:
        ModelLoadingError: the file of names cannot be read.
    """
    return [*_embedded(), *map(_named, named_models()), *sorted(_of_hub(), key=lambda it: it.name), *_conversions()]


def find_local(name: str) -> LocalModel | None:
    """By its name, an alias, or another revision's spelling."""
    models = local_models()
    listed = listed_model(name)
    wanted = str(listed.hub) if listed else name
    if (found := next((model for model in models if model.name == wanted), None)) is not None:
        return found
    asked = hub_name(wanted)
    return None if asked is None else next((model for model in models if _is_asked(model, asked)), None)


def _is_asked(model: LocalModel, asked: HubName) -> bool:
    own = hub_name(model.name) if model.kind in ("hub", "hub gguf") else None
    if own is None or model.revision is None or (own.name, own.file) != (asked.name, asked.file):
        return False
    copy = local_copy(asked)
    return copy is not None and copy.commit == model.revision


def require_local(name: str) -> LocalModel:
    """
    Raises:
        NotFoundError: it is not here; the message has the closest names.
        ModelLoadingError: the file of names cannot be read.
    """
    found = find_local(name)
    if found is None:
        meant = closest(name, [model.name for model in local_models()])
        raise NotFoundError(
            f"{name} is not on this machine.{meant} `pensieve models list` shows what is, and `pensieve fit {name}` "
            "tells of a model that is still on the hub",
            field="model",
        )
    return found


def folder_bytes(folder: Path) -> int:
    """Of all files below, as far as they can be read."""
    total = 0
    for path in folder.rglob("*"):
        if path.is_file():
            total += path.stat().st_size
    return total


def _embedded() -> Iterator[LocalModel]:
    folder = models_folder() / SMOLLM2.name
    if is_complete(folder):
        yield LocalModel(SMOLLM2.name, "embedded", folder, folder_bytes(folder), SMOLLM2.requirement)


def _named(named: NamedModel) -> LocalModel:
    path = Path(named.path)
    return LocalModel(named.name, named.kind, path, folder_bytes(path), named.origin, base=named.base)


def _conversions() -> Iterator[LocalModel]:
    taken = {Path(named.path) for named in named_models()} | {models_folder() / SMOLLM2.name}
    folders = sorted(models_folder().iterdir()) if models_folder().is_dir() else []
    for folder in folders:
        if folder not in taken and is_complete(folder):
            yield LocalModel(folder.name, "conversion", folder, folder_bytes(folder), "a GGUF file")


def _of_hub() -> Iterator[LocalModel]:
    for repo in hub_repos():
        for revision in repo.revisions:
            yield from _of_revision(repo, revision)


def hub_repos() -> Iterable[CachedRepoInfo]:
    """The models in huggingface_hub's cache, whoever put them there."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir  # noqa: PLC0415 - takes half a second

    try:
        return [repo for repo in scan_cache_dir(constants.HF_HUB_CACHE).repos if repo.repo_type == "model"]
    except CacheNotFound:
        return []


def _is_current(name: HubName, repo: CachedRepoInfo, revision: CachedRevisionInfo) -> bool:
    """Whether the bare name stands for this revision."""
    commits = {other.commit_hash for other in repo.revisions}
    pulled = pinned(name.bare)
    return pulled == revision.commit_hash if pulled in commits else "main" in revision.refs


def _spelt(name: HubName, repo: CachedRepoInfo, revision: CachedRevisionInfo) -> str:
    if _is_current(name, repo, revision):
        return name.bare
    refs = sorted(revision.refs - {"main"})
    return str(replace(name, revision=(refs or [revision.commit_hash[:_SHORT]])[0]))


def _of_revision(repo: CachedRepoInfo, revision: CachedRevisionInfo) -> Iterator[LocalModel]:
    folder, commit = revision.snapshot_path, revision.commit_hash
    if (folder / "config.json").exists() and not missing_weights(folder):
        spelt = _spelt(HubName(repo.repo_id), repo, revision)
        aliases = tuple(
            model.alias
            for model in listed_models()
            if model.name == repo.repo_id and (model.revision == commit if model.revision else spelt == model.name)
        )
        yield LocalModel(spelt, "hub", folder, revision.size_on_disk, "hub", commit, aliases=aliases)
    for file in sorted(revision.files, key=lambda it: str(it.file_path)):
        if file.file_name.lower().endswith(".gguf"):
            path = file.file_path.relative_to(folder).as_posix()
            spelt = _spelt(HubName(repo.repo_id, path), repo, revision)
            yield LocalModel(spelt, "hub gguf", file.file_path, file.size_on_disk, "hub", commit)
