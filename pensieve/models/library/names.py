"""The names that the user gave to models on this machine (U3)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Final, Literal

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.names_file import edited_names, read_names
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
    return tuple(NamedModel(**entry) for entry in read_names().get("models", {}).values())


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
    with edited_names(model.name) as content:
        require_free_name(model.name)
        content.setdefault("models", {})[model.name] = asdict(model)


def drop_name(name: str) -> None:
    """The name alone: whoever drops it sees to its files."""
    with edited_names(name) as content:
        content.get("models", {}).pop(name, None)
