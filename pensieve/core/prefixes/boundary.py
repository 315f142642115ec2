"""Positions in a prompt where conversations branch, so that the KV up to them is worth keeping (C2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class BoundaryKind(Enum):
    SYSTEM = "system"
    """The end of tools and system text, which every conversation of a client shares."""
    BREAKPOINT = "breakpoint"
    """The end of a turn that the client marked with `cache_control`."""
    TURN = "turn"
    """The end of the last turn, before the tokens that open the model's answer."""
    ANSWER = "answer"
    """The end of the answer."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of the prompt's first `num_tokens`. A breakpoint has the `ttl_seconds` that the client requested."""

    num_tokens: int
    kind: BoundaryKind
    ttl_seconds: int | None = None
