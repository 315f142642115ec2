"""One setting of `pensieve serve`: its flag and its environment variable follow from its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pensieve.cli.settings import values


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    metavar: str | None = None

    @property
    def flag(self) -> str:
        """`--kebab-case`. A flag that may be repeated takes one value at a time, so its name is singular."""
        name = self.name.removesuffix("s") if self.is_repeatable else self.name
        return "--" + name.replace("_", "-")

    @property
    def is_repeatable(self) -> bool:
        return self.parse in (values.comma_separated, values.host_names)

    @property
    def variable(self) -> str:
        return "PENSIEVE_" + self.name.upper()
