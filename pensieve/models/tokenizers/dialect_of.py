"""Detects a model's dialect (W14, W15) from its chat template and its tokenizer's added tokens."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

from pensieve.core.dialects.dialect import DEFAULT_DIALECT, Dialect, dialect_from

THINKING_MARKS: Final = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<longcat_think>", "</longcat_think>"),
    ("<|think:start|>", "<|think:end|>"),
)
"""Marks for dialects without their own. A model has a pair if its template writes one, or if both are added tokens."""


@dataclass(frozen=True, slots=True)
class Family:
    """One file of `core/dialects/families/`.

    `detect` are texts that the chat templates of its models all contain. `moves` describes which part of the prompt the
    template moves from turn to turn, and what that costs.
    """

    dialect: Dialect
    families: str
    source: str
    detect: tuple[str, ...]
    moves: str = ""

    def fits(self, template: str) -> bool:
        template = template.replace("\\n", "\n")  # templates contain line ends raw or escaped
        return all(text in template for text in self.detect)

    @property
    def specificity(self) -> int:
        """If several dialects fit, the one with the longest texts to detect wins."""
        return sum(map(len, self.detect))


@cache
def known_families() -> tuple[Family, ...]:
    """All dialects, sorted by file name."""
    folder = files("pensieve.core.dialects") / "families"
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".toml")), key=lambda path: path.name)
    return tuple(_parse_family(path.name.removesuffix(".toml"), path.read_text(encoding="utf-8")) for path in paths)


def _parse_family(name: str, text: str) -> Family:
    data = tomllib.loads(text)
    about = data["about"]
    return Family(
        dialect_from(name, data), about["families"], about["source"], tuple(about["detect"]), about.get("moves", "")
    )


def dialect_for(template: str, added_tokens: Mapping[str, int]) -> Dialect:
    """The dialect of a chat template, or the default one if none fits, bound to a tokenizer's added tokens."""
    fitting = [family for family in known_families() if family.fits(template)]
    best = max(fitting, key=lambda family: family.specificity, default=None)
    dialect = best.dialect if best is not None else default_dialect()
    if dialect.think_start is None:
        present = [pair for pair in THINKING_MARKS if _has_marks(pair, template, added_tokens)]
        start, end = present[0] if present else (None, None)
        dialect = replace(dialect, think_start=start, think_end=end)
    return dialect.bound(added_tokens)


def default_dialect() -> Dialect:
    return next(family.dialect for family in known_families() if family.dialect.name == DEFAULT_DIALECT)


def dialect_of(tokenizer: Any) -> Dialect:
    """The dialect of a model, given its tokenizer."""
    return dialect_for(template_text(tokenizer), added_tokens(tokenizer))


def template_text(tokenizer: Any) -> str:
    """All of a tokenizer's chat templates as one text, or "" if it has none."""
    template = tokenizer.chat_template
    if isinstance(template, Mapping):
        return "\n".join(map(str, template.values()))
    return template or ""


def added_tokens(tokenizer: Any) -> dict[str, int]:
    """The ids of a tokenizer's added tokens, special or not, by their text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {}
    return {token.content: token_id for token_id, token in backend.get_added_tokens_decoder().items()}


def _has_marks(marks: tuple[str, str], template: str, added: Mapping[str, int]) -> bool:
    return any(mark in template for mark in marks) or all(mark in added for mark in marks)
