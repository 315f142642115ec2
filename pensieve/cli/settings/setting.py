"""One setting of `pensieve serve`: its flag, its environment variable and its key in files follow from its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pensieve.cli.settings import values
from pensieve.cli.sizes import parse_size_or_share
from pensieve.core.defaults.sampling import ALLOWED

_NUMBER: Final = (int, float)
_TOML_TYPES: Final[Mapping[Callable[..., Any], tuple[type, ...]]] = {
    values.switch: (bool,),
    values.comma_separated: (list,),
    values.host_names: (list,),
    values.origins: (list,),
    values.template_arguments: (dict,),
    values.port: _NUMBER,
    values.context_tokens: _NUMBER,
    values.positive_int: _NUMBER,
    values.non_negative_int: _NUMBER,
    values.grace_seconds: _NUMBER,
    values.kv_bits: _NUMBER,
    values.duration: (str, *_NUMBER),
    values.memory_limit: (str, int),
    values.daily_bytes: (str, int),
    parse_size_or_share: (str, int),
}
"""The types of a value in a TOML file, by its parser. Any other value is a text."""
_DEFAULT: Final = re.compile(r"\s*\(default: (?P<default>.+?)\)(?=;|$)")


@dataclass(frozen=True, slots=True)
class Setting:
    """`per_model` settings may also be in the table of a model."""

    name: str
    parse: Callable[[Any], Any]
    default: Any
    help: str
    metavar: str | None = None
    per_model: bool = False

    @property
    def flag(self) -> str:
        """`--kebab-case`. A flag that may be repeated takes one value at a time, so its name is singular."""
        name = self.name.removesuffix("s") if self.is_repeatable else self.name
        return "--" + name.replace("_", "-")

    @property
    def is_repeatable(self) -> bool:
        return self.parse in (values.comma_separated, values.host_names, values.origins)

    @property
    def is_path(self) -> bool:
        return self.parse in (Path, values.key_file, values.path)

    @property
    def is_secret(self) -> bool:
        """Whether the value must not be printed."""
        return self.name == "api_key"

    @property
    def variable(self) -> str:
        return "PENSIEVE_" + self.name.upper()

    @property
    def sentence(self) -> str:
        """The help without the default."""
        return _DEFAULT.sub("", self.help)

    @property
    def default_text(self) -> str:
        """The default as the help states it."""
        match = _DEFAULT.search(self.help)
        return match["default"] if match else "off" if self.default is False else "none"

    @property
    def toml_types(self) -> tuple[type, ...]:
        return _NUMBER if self.name in ALLOWED else _TOML_TYPES.get(self.parse, (str,))

    def from_toml(self, value: Any) -> Any:
        """The setting's value from a value of a TOML file.

        Raises:
            ValueError: its type or the value itself is wrong.
        """
        if type(value) not in self.toml_types:
            raise ValueError(self._wrong_type(value))
        if isinstance(value, list):
            if not all(isinstance(item, str) for item in value):
                raise ValueError("every item of the list must be in quotation marks")
            value = ",".join(value)
        if isinstance(value, str) and not value.strip():
            raise ValueError("must not be empty; remove the line for the default")
        if isinstance(value, dict):
            return self.parse(value)
        try:
            return self.parse(str(value))
        except ValueError as error:
            raise ValueError(str(error).replace(repr(str(value)), repr(value), 1)) from None

    def _wrong_type(self, value: Any) -> str:
        wanted, shown = self.toml_types[0], "it" if self.is_secret else repr(value)
        if wanted is list:
            example = f'["{value}"]' if isinstance(value, str) else '["…"]'
            return f"{shown} is not a list; write {self.name} = {example}"
        if wanted is bool:
            return f"{shown} is not true or false, without quotation marks"
        if wanted is dict:
            return f"{shown} is not a table; write {self.name} = {{ name = value }}"
        if wanted is str:
            return f'{shown} is not a text; write {self.name} = "…", in quotation marks'
        return f"{shown} is not a number; write it without quotation marks"
