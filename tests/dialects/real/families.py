"""Models' families from families.toml: which real chat template and which real tokenizer each of them has."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.dialects.real.downloads import template, tokenizer_folder

Json = dict[str, Any]

_DATA: Final = Path(__file__).parent / "families.toml"
_SMALL_VOCABULARY: Final = 24_000


@dataclass(frozen=True, slots=True)
class Family:
    """An entry of families.toml, whose head explains the fields."""

    name: str
    template: str
    tokenizer: str
    eos: tuple[str, ...]
    flags: str
    bos: str | None = None
    renamed: tuple[tuple[int, str], ...] = ()
    without: tuple[str, ...] = ()
    special: tuple[str, ...] | None = None
    plain: tuple[str, ...] = ()
    max_vocabulary: int | None = None
    """Tokens kept of the real vocabulary, without the added ones. Set by `with_small_vocabulary` alone."""

    def with_small_vocabulary(self) -> Family:
        """The family with the commonest tokens of its vocabulary, whose models load in a tenth of the time."""
        return replace(self, max_vocabulary=_SMALL_VOCABULARY)

    @property
    def chat_template(self) -> str:
        if self.template != "own":
            return template(self.template)
        config = json.loads((tokenizer_folder(self.tokenizer) / "tokenizer_config.json").read_text(encoding="utf-8"))
        return str(config["chat_template"])


@cache
def families() -> tuple[Family, ...]:
    entries = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return tuple(_family(name, entry) for name, entry in entries.items())


def family(name: str) -> Family:
    return next(family for family in families() if family.name == name)


def _family(name: str, entry: Json) -> Family:
    fields: Json = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    fields["renamed"] = tuple((int(token_id), token) for token_id, token in entry.get("renamed", {}).items())
    return Family(name=name, **fields)
