"""The canonical form of a request's text, so that each turn of a conversation starts with the same tokens (C1).

A KV cache can be reused only for a prompt that begins with the same tokens, but clients change insignificant details
from turn to turn. `pensieve.core.prompts.normalisations` lists what is normalised and why.
"""

from __future__ import annotations

import re
from typing import Final

FIVE_MINUTES_SECONDS: Final = 300
ONE_HOUR_SECONDS: Final = 3600

_BILLING: Final = "x-anthropic-billing-header"
_COUNT: Final = "<total_tokens>"
_COUNT_PATTERN: Final = r"<total_tokens>[^<\n]{0,100}left</total_tokens>"
_CHANGING: Final = (
    (_BILLING, re.compile(rf"^{_BILLING}[^\n]*(?:\n|\Z)", re.MULTILINE)),
    (_COUNT, re.compile(rf"^{_COUNT_PATTERN}[ \t]*(?:\n|\Z)", re.MULTILINE)),
    (_COUNT, re.compile(_COUNT_PATTERN)),
)
"""Each with what it begins with: a text without that is not searched, which would hold the interpreter's lock."""


def canonical_system_text(text: str) -> str:
    """Remove what changes by itself from a block of system text: the billing line and the count of remaining tokens.

    A count that is alone on its line is removed with the line.
    """
    for beginning, changing in _CHANGING:
        if beginning not in text:
            continue
        text, found = changing.subn("", text)
        if found and not text.strip():
            return ""
    return text


def cache_ttl_seconds(cache_control: object) -> int | None:
    """The time to live that a `cache_control` requests, or None if it is not an object.

    An unknown value counts as five minutes rather than as an error: it does not change the prompt.
    """
    if not isinstance(cache_control, dict):
        return None
    return ONE_HOUR_SECONDS if cache_control.get("ttl") == "1h" else FIVE_MINUTES_SECONDS


def longest_ttl(*ttls_seconds: int | None) -> int | None:
    return max((ttl for ttl in ttls_seconds if ttl is not None), default=None)
