"""What the user has named on this machine, and which revisions of the hub's models they pulled (U3).

One file of JSON in Pensieve's home. It is changed under a lock and by renaming, so that whoever reads sees all of a
change or nothing of it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from filelock import FileLock

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.home import home
from pensieve.models.library.aliases import listed_model
from pensieve.models.library.embedded import SMOLLM2

Kind = Literal["gguf", "folder", "copy", "adapter"]
_NAME: Final = re.compile(r"\w[\w.-]{0,99}")


@dataclass(frozen=True, slots=True)
class NamedModel:
    """`origin` is what it was imported from. `path` is its folder; an adapter's own, where `base` says on what it goes.

    A folder that was imported by reference stays the user's own; all else lies in Pensieve's home and goes with the
    name.
    """

    name: str
    kind: Kind
    origin: str
    path: str
    base: str | None = None


def named_model(name: str) -> NamedModel | None:
    return next((model for model in named_models() if model.name == name), None)


def named_models() -> tuple[NamedModel, ...]:
    """In the order in which they were imported."""
    return tuple(NamedModel(**entry) for entry in _read().get("models", {}).values())


def require_free_name(name: str) -> None:
    """Refuse a name that means something already, or could be taken for a path or one of the hub's.

    Raises:
        ModelLoadingError: it says what is wrong with the name.
    """
    if not _NAME.fullmatch(name):
        raise ModelLoadingError(name, "a name has letters, digits, dots, dashes and underscores; give one with --name")
    if name == SMOLLM2.name or listed_model(name) is not None:
        raise ModelLoadingError(name, "that name is one of Pensieve's own; give another with --name")
    if named_model(name) is not None:
        raise ModelLoadingError(
            name, f"there is a model of that name; run `pensieve models remove {name}` first, or give another --name"
        )


def add_name(model: NamedModel) -> None:
    """
    Raises:
        ModelLoadingError: the name is taken, or the home cannot be written.
    """
    with _changed(model.name) as content:
        require_free_name(model.name)
        content.setdefault("models", {})[model.name] = asdict(model)


def drop_name(name: str) -> None:
    """The name alone: whoever drops it sees to its files."""
    with _changed(name) as content:
        content.get("models", {}).pop(name, None)


def pinned(hub_name: str) -> str | None:
    """The commit of `organisation/name`, or of a GGUF file in it, that was pulled last."""
    commit = _read().get("pulled", {}).get(hub_name)
    return commit if isinstance(commit, str) else None


def pin(hub_name: str, commit: str) -> None:
    """Have the bare name mean this commit until another is pulled."""
    with _changed(hub_name) as content:
        content.setdefault("pulled", {})[hub_name] = commit


def unpin(hub_name: str, commit: str) -> None:
    with _changed(hub_name) as content:
        if content.get("pulled", {}).get(hub_name) == commit:
            del content["pulled"][hub_name]


def _file() -> Path:
    return home() / "names.json"


def _read() -> dict[str, Any]:
    """
    Raises:
        ModelLoadingError: the file is there and cannot be understood.
    """
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelLoadingError(
            "the names of models", f"{_file()} cannot be read: {error}; mend or remove it"
        ) from error
    if not isinstance(content, dict):
        raise ModelLoadingError("the names of models", f"{_file()} is no object of JSON; mend or remove it")
    return content


@contextmanager
def _changed(name: str) -> Iterator[dict[str, Any]]:
    """The file's content, to be changed; written when the block ends well."""
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_file().with_name(".names.lock")):
            content = _read()
            yield content
            handle, written = tempfile.mkstemp(prefix=".names-", dir=_file().parent)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1, ensure_ascii=False)
            Path(written).replace(_file())
    except OSError as error:
        raise ModelLoadingError(
            name, f"{_file()} cannot be written ({error}); set PENSIEVE_HOME to a folder that can"
        ) from error
