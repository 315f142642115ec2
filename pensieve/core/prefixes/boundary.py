"""Positions in a prompt where conversations branch, so that the KV up to them is worth keeping (C2)."""

from __future__ import annotations

from collections.abc import Sequence
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
    BRANCH = "branch"
    """Where the prompt leaves a stored one (`states`)."""
    EDGE = "edge"
    """The end of a prefill chunk, kept in case another prompt parts after it (`states`)."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of the prompt's first `num_tokens`. A breakpoint has the `ttl_seconds` that the client requested."""

    num_tokens: int
    kind: BoundaryKind
    ttl_seconds: int | None = None


def system_tokens(boundaries: Sequence[Boundary]) -> int:
    return max((each.num_tokens for each in boundaries if each.kind is BoundaryKind.SYSTEM), default=0)


def is_edge(boundaries: Sequence[Boundary], num_tokens: int) -> bool:
    """Whether these tokens end at an edge."""
    return any(each.kind is BoundaryKind.EDGE and each.num_tokens == num_tokens for each in boundaries)
