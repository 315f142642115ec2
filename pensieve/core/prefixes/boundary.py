"""Places in a prompt at which conversations branch, and at which it is worth keeping what was computed (C2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class BoundaryKind(Enum):
    SYSTEM = "system"
    """The end of tools and system text: what every conversation of one client shares."""
    BREAKPOINT = "breakpoint"
    """The end of a turn that the client marked with `cache_control`."""
    TURN = "turn"
    """The end of the last turn, before the words that open the model's answer."""
    ANSWER = "answer"
    """The end of the answer."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """The first `num_tokens` of the prompt end at it. `ttl_seconds` is the client's wish at a breakpoint."""

    num_tokens: int
    kind: BoundaryKind
    ttl_seconds: int | None = None
