"""Searches long texts in slices: `re` holds the interpreter's lock while it searches, and streams need that lock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pensieve.models.prompts.encoding.abandoned_work import check_wanted

SLICE: Final = 65_536


def find_all(pattern: re.Pattern[str], text: str, max_length: int) -> Iterator[re.Match[str]]:
    """As `pattern.finditer(text)`, for a pattern that matches and looks at no more than `max_length` characters."""
    at = 0
    check_wanted()
    while at < len(text):
        match = pattern.search(text, at, min(len(text), at + SLICE + max_length))
        if match is None or match.start() >= at + SLICE:
            at += SLICE
            check_wanted()
        else:
            yield match
            at = max(match.end(), match.start() + 1)
