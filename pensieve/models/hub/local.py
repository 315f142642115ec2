"""Copies of hub models on this machine, found in huggingface_hub's cache without contacting the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pensieve.models.hub.name import HubName
from pensieve.models.hub.pins import pinned
from pensieve.models.safetensors.shards import missing_weights

PATTERNS: Final = (
    "*.json", "model*.safetensors", "*.py", "tokenizer.model", "*.tiktoken", "tiktoken.model", "*.txt", "*.jsonl",
    "*.jinja",
)  # fmt: skip
"""The files of a repository that mlx-lm reads; a test compares them with its own list."""
_SHORT_COMMIT: Final = re.compile(r"[0-9a-f]{7,39}")


@dataclass(frozen=True, slots=True)
class HubCopy:
    """A copy on this machine: a folder in MLX format or the named GGUF file, and its commit."""

    path: Path
    commit: str


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
        return HubCopy(Path(path), commit_of(Path(path))) if isinstance(path, str) else None
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


def commit_of(path: Path) -> str:
    return path.parts[path.parts.index("snapshots") + 1]
