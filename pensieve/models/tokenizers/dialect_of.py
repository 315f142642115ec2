"""Which dialect a model was taught (W14, W15), read from its chat template and the tokens of its tokenizer."""

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
"""Of families whose thinking is no part of their dialect of calls: in the template, or both tokens of the model."""


@dataclass(frozen=True, slots=True)
class Family:
    """A dialect's file. `detect` are the texts that all stand in the chat templates of its models; `moves` says what of
    a prompt cannot stay in its place from turn to turn, and what that costs.
    """

    dialect: Dialect
    families: str
    source: str
    detect: tuple[str, ...]
    moves: str = ""

    def fits(self, template: str) -> bool:
        template = template.replace("\\n", "\n")  # a template writes line ends as they are, or escaped
        return all(text in template for text in self.detect)

    @property
    def specificity(self) -> int:
        """Of several dialects that fit, the one that asks for most is meant."""
        return sum(map(len, self.detect))


@cache
def known_families() -> tuple[Family, ...]:
    """By the names of their files."""
    folder = files("pensieve.core.dialects") / "families"
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".toml")), key=lambda path: path.name)
    return tuple(_family(path.name.removesuffix(".toml"), path.read_text(encoding="utf-8")) for path in paths)


def _family(name: str, text: str) -> Family:
    data = tomllib.loads(text)
    about = data["about"]
    return Family(
        dialect_from(name, data), about["families"], about["source"], tuple(about["detect"]), about.get("moves", "")
    )


def dialect_for(template: str, added_tokens: Mapping[str, int]) -> Dialect:
    """The dialect of a chat template, bound to a tokenizer's added tokens; the general form where none fits."""
    fitting = [family for family in known_families() if family.fits(template)]
    found = max(fitting, key=lambda family: family.specificity, default=None)
    dialect = found.dialect if found is not None else general_dialect()
    if dialect.think_start is None:
        taught = [pair for pair in THINKING_MARKS if _is_taught(pair, template, added_tokens)]
        start, end = taught[0] if taught else (None, None)
        dialect = replace(dialect, think_start=start, think_end=end)
    return dialect.bound(added_tokens)


def general_dialect() -> Dialect:
    return next(family.dialect for family in known_families() if family.dialect.name == DEFAULT_DIALECT)


def dialect_of(tokenizer: Any) -> Dialect:
    """The dialect of the model that `tokenizer`, mlx-lm's TokenizerWrapper, belongs to."""
    return dialect_for(template_text(tokenizer), added_tokens(tokenizer))


def template_text(tokenizer: Any) -> str:
    """All of a tokenizer's chat templates as one text; "" where it has none."""
    template = tokenizer.chat_template
    if isinstance(template, Mapping):
        return "\n".join(map(str, template.values()))
    return template or ""


def added_tokens(tokenizer: Any) -> dict[str, int]:
    """The tokens that a tokenizer looks for in a text before all else, special or not, by their text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {}
    return {token.content: token_id for token_id, token in backend.get_added_tokens_decoder().items()}


def _is_taught(marks: tuple[str, str], template: str, added: Mapping[str, int]) -> bool:
    """Whether a model knows the marks: its template writes one of them, or both are tokens of it."""
    return any(mark in template for mark in marks) or all(mark in added for mark in marks)
