"""Families whose next prompt does not begin with the prompt before it and its answer, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Moved:
    """`requests` are those of the conversations in test_templates that are read again from where they differ."""

    why: str
    cost: str
    requests: Mapping[str, Sequence[int]]


_TOOLS_LAST: Final = "The template puts the tools before the last turn of the user, so they move with each new one."
_TOOLS_COST: Final = (
    "The first request after a new turn of the user reads the conversation again from its first turn on; a loop of "
    "calls and results, with text beside them or not, reads only what is new."
)

MOVED: Final[Mapping[str, Moved]] = {
    "mistral-nemo": Moved(_TOOLS_LAST, _TOOLS_COST, {"calls": [6], "calls alone": [6], "notes": [4]}),
    "mistral-small-3.2": Moved(_TOOLS_LAST, _TOOLS_COST, {"calls": [6], "calls alone": [6], "notes": [4]}),
}
