"""The names that users give to models with `pensieve models import` (U3)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Final, Literal

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.names_file import edited_names, names_file, read_names
from pensieve.models.library.aliases import curated_model
from pensieve.models.library.embedded import SMOLLM2

Kind = Literal["gguf", "folder", "copy", "adapter"]
_NAME: Final = re.compile(r"\w[\w.-]{0,99}")


@dataclass(frozen=True, slots=True)
class NamedModel:
    """`origin` is the path it was imported from, `path` its folder. For an adapter, `path` is the adapter's own folder
    and `base` a name for the base model.

    A model of kind `folder` stays where the user has it; the others lie in Pensieve's home and are deleted with the
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
    """In the order of their import."""
    return tuple(_from_entry(name, entry) for name, entry in read_names().get("models", {}).items())


def _from_entry(name: str, entry: object) -> NamedModel:
    """Keys of a newer version are left alone: they stay in the file.

    Raises:
        ModelLoadingError: the entry is damaged.
    """
    known = {field.name: entry.get(field.name) for field in fields(NamedModel)} if isinstance(entry, dict) else {}
    texts = [value for key, value in known.items() if key != "base"]
    if not texts or not all(isinstance(text, str) for text in (*texts, known["base"] or "")):
        raise ModelLoadingError(name, f"its entry in {names_file()} is damaged; fix or remove it")
    return NamedModel(**known)  # type: ignore[arg-type] # checked above


def require_free_name(name: str) -> None:
    """
    Raises:
        ModelLoadingError: the name is taken, or could be mistaken for a path or a hub name.
    """
    if not _NAME.fullmatch(name):
        raise ModelLoadingError(
            name, "a name may only have letters, digits, dots, dashes and underscores; choose one with --name"
        )
    if name == SMOLLM2.name or curated_model(name) is not None:
        raise ModelLoadingError(name, "that name is one of Pensieve's own; choose another with --name")
    if named_model(name) is not None:
        raise ModelLoadingError(
            name, f"that name is taken; run `pensieve models remove {name}` first, or choose another with --name"
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
    """Remove the name alone; its files stay."""
    with edited_names(name) as content:
        content.get("models", {}).pop(name, None)
