"""Models from the Hugging Face hub, in huggingface_hub's cache, which other programs share.

A copy on this machine is used without contacting the hub: a model changes when it is pulled, not when its authors
change it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.home import home
from pensieve.models.files.progress import Progress
from pensieve.models.hub.checksums import expected_sum, require_published
from pensieve.models.hub.download import HubFiles, without_bars
from pensieve.models.hub.name import HubName
from pensieve.models.hub.pins import pinned
from pensieve.models.safetensors.shards import missing_weights

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

PATTERNS: Final = (
    "*.json", "model*.safetensors", "*.py", "tokenizer.model", "*.tiktoken", "tiktoken.model", "*.txt", "*.jsonl",
    "*.jinja",
)  # fmt: skip
"""The files of a repository that mlx-lm reads; a test compares them with its own list."""
_SHORT_COMMIT: Final = re.compile(r"[0-9a-f]{7,39}")
_MODEL_CARD: Final = "README.md"
_MAX_TRIES_WHILE_MAIN_MOVES: Final = 3


@dataclass(frozen=True, slots=True)
class HubCopy:
    """A copy on this machine: a folder in MLX format or the named GGUF file, and its commit."""

    path: Path
    commit: str


def hub_copy(wanted: HubName, progress: Progress) -> HubCopy:
    """The copy on this machine; without one, the model is pulled.

    Raises:
        ModelLoadingError: as `pull`.
    """
    return local_copy(wanted) or pull(wanted, progress)


def local_copy(wanted: HubName) -> HubCopy | None:
    """A complete copy on this machine, found without contacting the hub. Without a revision in the name, it is the copy
    that was pulled last, else the `main` that any program has fetched.
    """
    revisions = [wanted.revision] if wanted.revision else [pinned(wanted.bare), "main"]
    for revision in revisions:
        if revision is not None and (found := _copy_of(replace(wanted, revision=revision))) is not None:
            return found
    return None


def _copy_of(wanted: HubName) -> HubCopy | None:
    from huggingface_hub import errors, snapshot_download, try_to_load_from_cache  # noqa: PLC0415 - half a second

    revision = _full_commit(wanted)
    if wanted.file is not None:
        path = try_to_load_from_cache(wanted.name, wanted.file, revision=revision)
        return HubCopy(Path(path), _commit_of(Path(path))) if isinstance(path, str) else None
    try:
        folder = snapshot_download(wanted.name, revision=revision, allow_patterns=list(PATTERNS), local_files_only=True)
    except (errors.LocalEntryNotFoundError, OSError, ValueError):
        return None
    return None if missing_weights(Path(folder)) else HubCopy(Path(folder), Path(folder).name)


def _full_commit(wanted: HubName) -> str | None:
    """The revision. A short commit is expanded if exactly one commit in the cache starts with it."""
    from huggingface_hub import constants  # noqa: PLC0415

    if wanted.revision is None or not _SHORT_COMMIT.fullmatch(wanted.revision):
        return wanted.revision
    snapshots = Path(constants.HF_HUB_CACHE, f"models--{wanted.name.replace('/', '--')}", "snapshots")
    found = [path.name for path in snapshots.glob(f"{wanted.revision}*")]
    return found[0] if len(found) == 1 else wanted.revision


def _commit_of(path: Path) -> str:
    return path.parts[path.parts.index("snapshots") + 1]


def pull(wanted: HubName, progress: Progress) -> HubCopy:
    """Fetch the files that mlx-lm needs of a revision's newest commit (default: `main`), resuming an interrupted pull.
    Every file is compared with the hub's checksum, including those that were here already.

    Raises:
        ModelLoadingError: there is no such model, revision or file; no access; no network; too little disk space;
            nothing in it can be loaded; or a file's checksum is wrong.
    """
    with explained(wanted), _locked(wanted, progress):
        progress.print(f"Looking for {wanted} on the Hugging Face hub.")
        for _ in range(_MAX_TRIES_WHILE_MAIN_MOVES):
            files = _wanted_files(wanted)
            files.require_disk_space(str(wanted))
            fetched = files.fetch_large(str(wanted), progress)
            copy = _fetch_rest(wanted)
            if copy.commit == files.commit:
                snapshot = _snapshot(copy)
                unchecked = [file for file in files.files if expected_sum(file) not in fetched]
                require_published(str(wanted), snapshot, unchecked)
                progress.print(f"{len(files.files)} files match the hub's checksums; revision {copy.commit}.")
                return copy
        raise ModelLoadingError(
            str(wanted), "it keeps changing on the hub while it downloads; name a commit: NAME@COMMIT"
        )


def _wanted_files(wanted: HubName) -> HubFiles:
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.hf_api import RepoFile  # noqa: PLC0415

    api = HfApi()
    commit = api.model_info(wanted.name, revision=wanted.revision).sha
    if commit is None:
        raise ModelLoadingError(str(wanted), "the hub returned no commit; check that HF_ENDPOINT is a hub")
    tree = api.list_repo_tree(wanted.name, recursive=True, revision=commit)
    return HubFiles(wanted.name, commit, _selected(wanted, [entry for entry in tree if isinstance(entry, RepoFile)]))


def _selected(wanted: HubName, files: Sequence[RepoFile]) -> list[RepoFile]:
    ggufs = [file for file in files if file.path.lower().endswith(".gguf")]
    if wanted.file is not None:
        found = [file for file in ggufs if file.path == wanted.file]
        if not found:
            raise ModelLoadingError(str(wanted), f"{wanted.name} has no such file; {_gguf_hint(wanted, ggufs)}")
        return found
    selected = [file for file in files if _matches(file.path)]
    if not any(fnmatch.fnmatch(file.path, "model*.safetensors") for file in selected):
        hint = _gguf_hint(wanted, ggufs) if ggufs else "look for a conversion of it at mlx-community"
        raise ModelLoadingError(str(wanted), f"it has no model*.safetensors, which mlx-lm loads; {hint}")
    return selected


def _matches(path: str) -> bool:
    """As huggingface_hub matches: a star also matches slashes."""
    return path == _MODEL_CARD or any(fnmatch.fnmatch(path, pattern) for pattern in PATTERNS)


def _gguf_hint(wanted: HubName, ggufs: Sequence[RepoFile]) -> str:
    if not ggufs:
        return "it has no GGUF files at all"
    at = f"@{wanted.revision}" if wanted.revision else ""
    names = ", ".join(f"{wanted.name}/{file.path}{at} ({file.size / 1e9:.2f} GB)" for file in ggufs)
    return f"name one of its GGUF files: {names}"


def _fetch_rest(wanted: HubName) -> HubCopy:
    """Have huggingface_hub fetch the small files and link all of them into its snapshot."""
    from huggingface_hub import hf_hub_download, snapshot_download  # noqa: PLC0415

    with without_bars():
        if wanted.file is not None:
            path = Path(hf_hub_download(wanted.name, wanted.file, revision=wanted.revision))
            return HubCopy(path, _commit_of(path))
        folder = snapshot_download(wanted.name, revision=wanted.revision, allow_patterns=[*PATTERNS, _MODEL_CARD])
    return HubCopy(Path(folder), Path(folder).name)


def _snapshot(copy: HubCopy) -> Path:
    parts = copy.path.parts
    return Path(*parts[: parts.index("snapshots") + 2])


@contextmanager
def _locked(wanted: HubName, progress: Progress) -> Iterator[None]:
    """Hold the model's lock, so that one process at a time pulls it."""
    folder = home() / "pulls"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{wanted.name.replace('/', '--')}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.print(f"Another process is pulling {wanted.name}; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def explained(wanted: HubName) -> Iterator[None]:
    """Turn the hub's errors into a ModelLoadingError that states what to do."""
    from huggingface_hub import errors  # noqa: PLC0415

    source = str(wanted)
    try:
        yield
    except ModelLoadingError:
        raise
    except errors.GatedRepoError as error:
        fix = f"accept the licence on its page ({wanted.name} on the hub), then run `hf auth login`"
        raise ModelLoadingError(source, f"the hub requires you to accept its licence first: {fix}") from error
    except errors.RepositoryNotFoundError as error:
        fix = "check the spelling; if it is private, run `hf auth login`"
        raise ModelLoadingError(source, f"the hub has no such model: {fix}") from error
    except errors.RevisionNotFoundError as error:
        fix = "name one of its branches, tags or full commits, or leave out the @"
        raise ModelLoadingError(source, f"{wanted.name} has no revision {wanted.revision}: {fix}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelLoadingError(source, _UNREACHABLE) from error
    except Exception as error:  # its errors have no common root
        if _is_unreachable(error):
            raise ModelLoadingError(source, _UNREACHABLE) from error
        raise ModelLoadingError(
            source,
            f"the download failed: {str(error) or type(error).__name__}; what has arrived is kept, so pull it again",
        ) from error


_UNREACHABLE: Final = (
    "the hub cannot be reached and there is no copy on this machine: check the network (HF_HUB_OFFLINE, proxies), or "
    "name a model on this machine; `pensieve models list` shows them"
)


def _is_unreachable(error: Exception) -> bool:
    """Whether no connection was made. By class name, as huggingface_hub's HTTP library differs between versions."""
    return any(kind.__name__ in ("ConnectError", "ConnectTimeout", "ProxyError") for kind in type(error).__mro__)
