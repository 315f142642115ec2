"""Models from the Hugging Face hub, in huggingface_hub's cache, which other programs share.

A copy on this machine is used without contacting the hub: a model changes when it is pulled, not when its authors
change it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.home import home
from pensieve.models.files.lock import exclusive
from pensieve.models.files.progress import Progress
from pensieve.models.hub.checksums import expected_sum, require_published
from pensieve.models.hub.download import HubFiles, without_bars
from pensieve.models.hub.errors import hub_errors_explained
from pensieve.models.hub.local import PATTERNS, HubCopy, commit_of, local_copy
from pensieve.models.hub.name import HubName

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_MODEL_CARD: Final = "README.md"
_MAX_TRIES_WHILE_MAIN_MOVES: Final = 3


def hub_copy(wanted: HubName, progress: Progress) -> HubCopy:
    """The copy on this machine; without one, the model is pulled.

    Raises:
        ModelLoadingError: as `pull`.
    """
    return local_copy(wanted) or pull(wanted, progress)


def pull(wanted: HubName, progress: Progress) -> HubCopy:
    """Fetch the files that mlx-lm needs of a revision's newest commit (default: `main`), resuming an interrupted pull.
    Every file is compared with the hub's checksum, including those that were here already.

    Raises:
        ModelLoadingError: there is no such model, revision or file; no access; no network; too little disk space;
            nothing in it can be loaded; or a file's checksum is wrong.
    """
    with hub_errors_explained(wanted), exclusive(_lock_file(wanted), f"pulling {wanted.name}", progress):
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


def _lock_file(wanted: HubName) -> Path:
    folder = home() / "pulls"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{wanted.name.replace('/', '--')}.lock"


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
            return HubCopy(path, commit_of(path))
        folder = snapshot_download(wanted.name, revision=wanted.revision, allow_patterns=[*PATTERNS, _MODEL_CARD])
    return HubCopy(Path(folder), Path(folder).name)


def _snapshot(copy: HubCopy) -> Path:
    parts = copy.path.parts
    return Path(*parts[: parts.index("snapshots") + 2])
