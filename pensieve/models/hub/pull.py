"""Models from the Hugging Face hub, in its own cache, shared with every other program that uses it.

What is here serves without asking: a model changes when it is pulled, not when its authors change it.
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
"""What mlx-lm reads of a repository; a test holds them to its own."""
_BEGINNING: Final = re.compile(r"[0-9a-f]{7,39}")
_CARD: Final = "README.md"
_TRIES_WHILE_IT_MOVES: Final = 3


@dataclass(frozen=True, slots=True)
class HubCopy:
    """A copy on this machine: the folder in mlx-lm's form, or the GGUF file that was asked for, and its commit."""

    path: Path
    commit: str


def hub_copy(wanted: HubName, progress: Progress) -> HubCopy:
    """What is here of it, else what the hub has.

    Raises:
        ModelLoadingError: as `pull`.
    """
    return local_copy(wanted) or pull(wanted, progress)


def local_copy(wanted: HubName) -> HubCopy | None:
    """The whole copy on this machine, without asking the hub: of the revision that is named, else of the one that was
    pulled last, else of the `main` that any program fetched.
    """
    revisions = [wanted.revision] if wanted.revision else [pinned(wanted.bare), "main"]
    for revision in revisions:
        if revision is not None and (found := _copy_of(replace(wanted, revision=revision))) is not None:
            return found
    return None


def _copy_of(wanted: HubName) -> HubCopy | None:
    from huggingface_hub import errors, snapshot_download, try_to_load_from_cache  # noqa: PLC0415 - half a second

    revision = _whole_commit(wanted)
    if wanted.file is not None:
        path = try_to_load_from_cache(wanted.name, wanted.file, revision=revision)
        return HubCopy(Path(path), _commit_of(Path(path))) if isinstance(path, str) else None
    try:
        folder = snapshot_download(wanted.name, revision=revision, allow_patterns=list(PATTERNS), local_files_only=True)
    except (errors.LocalEntryNotFoundError, OSError, ValueError):
        return None
    return None if missing_weights(Path(folder)) else HubCopy(Path(folder), Path(folder).name)


def _whole_commit(wanted: HubName) -> str | None:
    """The revision; where it is the beginning of one commit that is here, the whole of that."""
    from huggingface_hub import constants  # noqa: PLC0415

    if wanted.revision is None or not _BEGINNING.fullmatch(wanted.revision):
        return wanted.revision
    snapshots = Path(constants.HF_HUB_CACHE, f"models--{wanted.name.replace('/', '--')}", "snapshots")
    found = [path.name for path in snapshots.glob(f"{wanted.revision}*")]
    return found[0] if len(found) == 1 else wanted.revision


def _commit_of(path: Path) -> str:
    return path.parts[path.parts.index("snapshots") + 1]


def pull(wanted: HubName, progress: Progress) -> HubCopy:
    """Fetch what mlx-lm needs of the newest of a revision (`main`, if none is named), going on where an earlier pull
    broke off, and compare every file with the hub's sums, those too that were here.

    Raises:
        ModelLoadingError: no such model, revision or file; no access; no network; no room on the disk; it holds nothing
            that can be loaded; or a file is not what the hub has.
    """
    with explained(wanted), _alone(wanted, progress):
        progress.say(f"Looking for {wanted} on the Hugging Face hub.")
        for _ in range(_TRIES_WHILE_IT_MOVES):
            files = _wanted_files(wanted)
            files.require_room(str(wanted))
            fetched = files.fetch_large(str(wanted), progress)
            copy = _fetch_rest(wanted)
            if copy.commit == files.commit:
                snapshot = _snapshot(copy)
                unchecked = [file for file in files.files if expected_sum(file) not in fetched]
                require_published(str(wanted), snapshot, unchecked)
                progress.say(f"{len(files.files)} files, each with the hub's sum; revision {copy.commit}.")
                return copy
        raise ModelLoadingError(str(wanted), "it changes on the hub faster than it arrives; name a commit: NAME@COMMIT")


def _wanted_files(wanted: HubName) -> HubFiles:
    """What is to be fetched, by the hub's own list."""
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.hf_api import RepoFile  # noqa: PLC0415

    api = HfApi()
    commit = api.model_info(wanted.name, revision=wanted.revision).sha
    if commit is None:
        raise ModelLoadingError(str(wanted), "the hub does not say which commit that is; is HF_ENDPOINT a hub?")
    tree = api.list_repo_tree(wanted.name, recursive=True, revision=commit)
    return HubFiles(wanted.name, commit, _selected(wanted, [entry for entry in tree if isinstance(entry, RepoFile)]))


def _selected(wanted: HubName, files: Sequence[RepoFile]) -> list[RepoFile]:
    ggufs = [file for file in files if file.path.lower().endswith(".gguf")]
    if wanted.file is not None:
        found = [file for file in ggufs if file.path == wanted.file]
        if not found:
            raise ModelLoadingError(str(wanted), f"there is no such file in {wanted.name}; {_ggufs(wanted, ggufs)}")
        return found
    selected = [file for file in files if _matches(file.path)]
    if not any(fnmatch.fnmatch(file.path, "model*.safetensors") for file in selected):
        reason = _ggufs(wanted, ggufs) if ggufs else "look for a conversion of it at mlx-community"
        raise ModelLoadingError(str(wanted), f"it has no model*.safetensors, which mlx-lm loads; {reason}")
    return selected


def _matches(path: str) -> bool:
    """As huggingface_hub matches: a star takes slashes in."""
    return path == _CARD or any(fnmatch.fnmatch(path, pattern) for pattern in PATTERNS)


def _ggufs(wanted: HubName, ggufs: Sequence[RepoFile]) -> str:
    if not ggufs:
        return "it has no GGUF files at all"
    at = f"@{wanted.revision}" if wanted.revision else ""
    names = ", ".join(f"{wanted.name}/{file.path}{at} ({file.size / 1e9:.2f} GB)" for file in ggufs)
    return f"name one of its GGUF files: {names}"


def _fetch_rest(wanted: HubName) -> HubCopy:
    """By huggingface_hub itself: the small files, and the names of all in its cache."""
    from huggingface_hub import hf_hub_download, snapshot_download  # noqa: PLC0415

    with without_bars():
        if wanted.file is not None:
            path = Path(hf_hub_download(wanted.name, wanted.file, revision=wanted.revision))
            return HubCopy(path, _commit_of(path))
        folder = snapshot_download(wanted.name, revision=wanted.revision, allow_patterns=[*PATTERNS, _CARD])
    return HubCopy(Path(folder), Path(folder).name)


def _snapshot(copy: HubCopy) -> Path:
    parts = copy.path.parts
    return Path(*parts[: parts.index("snapshots") + 2])


@contextmanager
def _alone(wanted: HubName, progress: Progress) -> Iterator[None]:
    """One process at a time pulls a model; the others wait for it."""
    folder = home() / "pulls"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{wanted.name.replace('/', '--')}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.say(f"Another process is pulling {wanted.name}; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def explained(wanted: HubName) -> Iterator[None]:
    """The hub's errors, each with the way out."""
    from huggingface_hub import errors  # noqa: PLC0415

    source = str(wanted)
    try:
        yield
    except ModelLoadingError:
        raise
    except errors.GatedRepoError as error:
        mend = f"accept its licence at its page ({wanted.name} on the hub), then run `hf auth login`"
        raise ModelLoadingError(source, f"the hub gives it only to those who accepted its licence: {mend}") from error
    except errors.RepositoryNotFoundError as error:
        mend = "check the spelling; if it is private, run `hf auth login`"
        raise ModelLoadingError(source, f"the hub has no such model: {mend}") from error
    except errors.RevisionNotFoundError as error:
        mend = "name a branch, a tag or a whole commit of it, or leave out the @"
        raise ModelLoadingError(source, f"{wanted.name} has no revision {wanted.revision}: {mend}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelLoadingError(source, _OUT_OF_REACH) from error
    except Exception as error:  # its errors have no common root
        if _is_out_of_reach(error):
            raise ModelLoadingError(source, _OUT_OF_REACH) from error
        raise ModelLoadingError(
            source,
            f"the hub did not deliver it: {str(error) or type(error).__name__}; what has arrived is kept, pull again",
        ) from error


_OUT_OF_REACH: Final = (
    "the hub cannot be reached and no copy is here: see to the network (HF_HUB_OFFLINE, proxies), or give the path of "
    "a model on this machine; `pensieve models list` shows those that are here"
)


def _is_out_of_reach(error: Exception) -> bool:
    """Whether no connection came about; huggingface_hub's own HTTP library differs between its versions."""
    return any(kind.__name__ in ("ConnectError", "ConnectTimeout", "ProxyError") for kind in type(error).__mro__)
