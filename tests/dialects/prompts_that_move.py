"""Families whose next prompt does not begin with the previous prompt and its answer, and the requests that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_TOOLS_BEFORE_LAST_USER_TURN: Final = {"calls": [6], "calls alone": [6], "notes": [4]}
"""The template writes the tools before the last user turn, so they move with every new one: the first request after it
prefills the conversation from its first turn on. A loop of calls and results prefills only what is new.
"""

MOVED: Final[Mapping[str, Mapping[str, Sequence[int]]]] = {
    "mistral-nemo": _TOOLS_BEFORE_LAST_USER_TURN,
    "mistral-small-3.2": _TOOLS_BEFORE_LAST_USER_TURN,
}
"""By family: the conversations of test_templates, and their requests that are prefilled again."""
