"""The chat templates of a folder, wherever its makers have put them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from pensieve.models.tokenizers.jinja import compiled

DEFAULT: Final = "default"
_CONFIG: Final = "tokenizer_config.json"
_PROCESSOR: Final = "chat_template.json"
_FILE: Final = "chat_template.jinja"
_FOLDER: Final = "additional_chat_templates"
"""As Transformers writes them (`utils/hub.py`), but for chat_template.json, which only its processors read."""


@dataclass(frozen=True, slots=True)
class NamedTemplate:
    """`file` is where it stands, from the folder on."""

    name: str
    text: str
    file: str


def read_chat_templates(folder: Path) -> dict[str, NamedTemplate]:
    """By their names; those in files of their own come before those in tokenizer_config.json.

    Raises:
        ValueError: a template does not compile, or a file of theirs is not JSON; the message names the file.
        OSError: a file cannot be read.
    """
    found = {template.name: template for template in _found(folder)}
    for template in found.values():
        _require_template(template)
    return found


def as_tokenizers_have_it(templates: Mapping[str, NamedTemplate]) -> str | dict[str, str] | None:
    """The one template, or several by name."""
    texts = {name: template.text for name, template in templates.items()}
    if not texts:
        return None
    return texts[DEFAULT] if texts.keys() == {DEFAULT} else texts


def _found(folder: Path) -> Iterator[NamedTemplate]:
    """Of several with one name, the last counts."""
    for file in (_CONFIG, _PROCESSOR):
        if (folder / file).is_file():
            yield from _in_json(_read_json(folder / file), file)
    if (folder / _FILE).is_file():
        yield NamedTemplate(DEFAULT, (folder / _FILE).read_text(encoding="utf-8-sig"), _FILE)
    for path in sorted((folder / _FOLDER).glob("*.jinja")):
        yield NamedTemplate(path.stem, path.read_text(encoding="utf-8-sig"), f"{_FOLDER}/{path.name}")


def _in_json(settings: Any, file: str) -> Iterator[NamedTemplate]:
    """A text, a list of names and texts, or texts by name."""
    value = settings.get("chat_template") if isinstance(settings, dict) else None
    match value:
        case str():
            yield NamedTemplate(DEFAULT, value, file)
        case list():
            for entry in value:
                yield NamedTemplate(entry["name"], entry["template"], file)
        case dict():
            for name, text in value.items():
                yield NamedTemplate(name, text, file)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error


def _require_template(template: NamedTemplate) -> None:
    try:
        compiled(template.text)
    except jinja2.TemplateSyntaxError as error:
        named = "" if template.name == DEFAULT else f" {template.name!r}"
        raise ValueError(
            f"{template.file}: the chat template{named} does not compile, at its line {error.lineno}: {error.message}; "
            "fix the template, or fetch the model's own file again"
        ) from error
