"""Which revision the bare name of a hub model stands for: the one that was pulled last (U3)."""

from __future__ import annotations

from pensieve.models.files.names_file import edited_names, read_names


def pinned(bare_name: str) -> str | None:
    """The commit that was pulled last of `organisation/name`, or of a GGUF file in it."""
    commit = read_names().get("pulled", {}).get(bare_name)
    return commit if isinstance(commit, str) else None


def pin(bare_name: str, commit: str) -> None:
    with edited_names(bare_name) as content:
        content.setdefault("pulled", {})[bare_name] = commit


def unpin(bare_name: str, commit: str) -> None:
    """Remove the pin if it is on this commit."""
    with edited_names(bare_name) as content:
        if content.get("pulled", {}).get(bare_name) == commit:
            del content["pulled"][bare_name]
