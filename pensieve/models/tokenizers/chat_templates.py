"""Reads a model folder's chat templates from all files in which they may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from pensieve.models.files.json_file import read_json
from pensieve.models.templates.environment import compile_template

DEFAULT: Final = "default"
_CONFIG: Final = "tokenizer_config.json"
_PROCESSOR: Final = "chat_template.json"
_FILE: Final = "chat_template.jinja"
_FOLDER: Final = "additional_chat_templates"
"""The file names of Transformers (`utils/hub.py`). Only its processors read chat_template.json."""


@dataclass(frozen=True, slots=True)
class NamedTemplate:
    """`file` is its path relative to the model folder."""

    name: str
    text: str
    file: str


def read_chat_templates(folder: Path) -> dict[str, NamedTemplate]:
    """The templates by name. Separate files take precedence over tokenizer_config.json.

    Raises:
        ValueError: a template does not compile, or a file is not JSON. The message names the file.
        OSError: a file cannot be read.
    """
    templates = {template.name: template for template in _all_templates(folder)}
    for template in templates.values():
        _check_syntax(template)
    return templates


def as_tokenizer_attribute(templates: Mapping[str, NamedTemplate]) -> str | dict[str, str] | None:
    """The value of a tokenizer's `chat_template`: one text, several by name, or None."""
    texts = {name: template.text for name, template in templates.items()}
    if not texts:
        return None
    return texts[DEFAULT] if texts.keys() == {DEFAULT} else texts


def template_file(folder: Path) -> str:
    """The name of the file with the template that counts."""
    return next((name for name in (_FILE, _PROCESSOR) if (folder / name).is_file()), _CONFIG)


def _all_templates(folder: Path) -> Iterator[NamedTemplate]:
    """In ascending precedence: the last of several with one name counts."""
    for file in (_CONFIG, _PROCESSOR):
        if (folder / file).is_file():
            yield from _from_json(_read_json(folder / file), file)
    if (folder / _FILE).is_file():
        yield NamedTemplate(DEFAULT, (folder / _FILE).read_text(encoding="utf-8-sig"), _FILE)
    for path in sorted((folder / _FOLDER).glob("*.jinja")):
        yield NamedTemplate(path.stem, path.read_text(encoding="utf-8-sig"), f"{_FOLDER}/{path.name}")


def _from_json(settings: Any, file: str) -> Iterator[NamedTemplate]:
    """The templates of a JSON file: a text, a list of names and texts, or texts by name."""
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
        return read_json(path, "utf-8-sig")
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error


def _check_syntax(template: NamedTemplate) -> None:
    try:
        compile_template(template.text)
    except jinja2.TemplateSyntaxError as error:
        named = "" if template.name == DEFAULT else f" {template.name!r}"
        raise ValueError(
            f"{template.file}: the chat template{named} does not compile: line {error.lineno}: {error.message}; "
            "fix the template, or download the model's original file again"
        ) from error
