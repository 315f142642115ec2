"""How calls begin in an answer, and what stands around their arguments, as expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pensieve.core.dialects.dialect import Dialect
from pensieve.core.dialects.patterns import expression, split_at


def bare_openings(dialect: Dialect, names: Sequence[str]) -> tuple[str, ...]:
    """How a call may begin the answer that no mark stands before, without white space."""
    if dialect.calls.start:
        openings: tuple[str, ...] = (dialect.calls.bare,) if is_json(dialect.calls.bare) else ()
    else:
        openings = dialect.heads(names)
    return tuple("".join(opening.split()) for opening in openings)


def is_json(text: str) -> bool:
    return text.startswith(("{", "["))


@lru_cache(maxsize=64)
def head_of_call(pattern: str) -> re.Pattern[str]:
    """Up to the arguments of a call, which are an object."""
    return re.compile(rf"\s*\[?\s*{expression(split_at(pattern, 'arguments')[0])}\s*(?=\{{)", re.DOTALL)


@lru_cache(maxsize=256)
def matcher(pattern: str) -> re.Pattern[str]:
    """The text of a pattern, white space before it passed over."""
    return re.compile(rf"\s*{expression(pattern)}" if pattern.strip() else "", re.DOTALL)
