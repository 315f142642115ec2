"""Which revision of a hub model its bare name stands for: the one that was pulled last (U3)."""

from __future__ import annotations

from pensieve.models.files.names_file import changed_names, read_names


def pinned(hub_name: str) -> str | None:
    """The commit of `organisation/name`, or of a GGUF file in it, that was pulled last."""
    commit = read_names().get("pulled", {}).get(hub_name)
    return commit if isinstance(commit, str) else None


def pin(hub_name: str, commit: str) -> None:
    """Have the bare name mean this commit until another is pulled."""
    with changed_names(hub_name) as content:
        content.setdefault("pulled", {})[hub_name] = commit


def unpin(hub_name: str, commit: str) -> None:
    with changed_names(hub_name) as content:
        if content.get("pulled", {}).get(hub_name) == commit:
            del content["pulled"][hub_name]
