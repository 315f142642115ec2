"""Where in a prompt to keep states that cannot be cut, beyond the boundaries that every prompt has (C2).

A recurrent state or a window holds what one token needs. A later prompt continues from the last state that lies within
what both share, and computes the rest again. Two more places are worth a state:

- where the prompt leaves the ones that are stored. What two have shared, a third will share;
- edges between prefill chunks, far from other states, while there is memory that nothing else uses. Prompts may part
  at any token of a gap: one that parts after an edge saves the tokens between the edge and the state before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.core.prefixes.worth import MIN_TOKENS

MAX_EDGES: Final = 4
"""Each one ends a prefill chunk early and copies a state."""
_MIN_EXPECTED_TOKENS: Final = 64.0
"""The tokens that an edge must be expected to save."""


class States(NamedTuple):
    """A state after n tokens takes `bytes_at(n)`. Prompts are prefilled in chunks of `chunk_tokens`."""

    chunk_tokens: int
    bytes_at: Callable[[int], int]


def branch_boundaries(num_matched: int, num_shared: int, num_tokens: int) -> tuple[Boundary, ...]:
    """The place where a prompt leaves a stored one, if that has no state there to continue from."""
    is_worth_it = num_shared - num_matched >= MIN_TOKENS and num_shared < num_tokens
    return (Boundary(num_shared, BoundaryKind.BRANCH),) if is_worth_it else ()


class SharedTokens(NamedTuple):
    """How many tokens of a prompt are cached, and how many it shares with any cached prompt."""

    cached: int
    shared: int


def further_boundaries(
    num_tokens: int, shared: SharedTokens, boundaries: Sequence[Boundary], states: States, free_bytes: int
) -> tuple[Boundary, ...]:
    """Where else to keep states of a prompt of `num_tokens` that is about to be computed."""
    branch = branch_boundaries(shared.cached, shared.shared, num_tokens)
    places = [each.num_tokens for each in (*boundaries, *branch) if each.num_tokens > shared.cached]
    return *branch, *edge_boundaries([shared.cached, *places], states, free_bytes)


def edge_boundaries(kept: Sequence[int], states: States, free_bytes: int) -> tuple[Boundary, ...]:
    """The edges of chunks that save most tokens per byte between the offsets `kept`, within `free_bytes`.

    `kept` begins with the tokens that are cached already.
    """
    chunk_tokens, bytes_at = states
    places, edges = sorted(set(kept)), list[int]()
    while len(edges) < MAX_EDGES:
        found = max(_candidates(places, chunk_tokens, bytes_at), default=None)
        if found is None or bytes_at(found[1]) > free_bytes:
            break
        free_bytes -= bytes_at(found[1])
        edges.append(found[1])
        places = sorted((*places, found[1]))
    return tuple(Boundary(each, BoundaryKind.EDGE) for each in sorted(edges))


def expected_tokens(before: int, edge: int, after: int, num_tokens: int) -> float:
    """The tokens that a state at `edge` is expected to save a prompt that parts from this one of `num_tokens` anywhere,
    if the states next to it are at `before` and `after`.
    """
    return (edge - before) * (after - edge) / num_tokens


def _candidates(places: Sequence[int], chunk_tokens: int, bytes_at: Callable[[int], int]) -> list[tuple[float, int]]:
    """(expected tokens saved per byte, edge) for the edge next to the middle of each gap: there they are most."""
    found = []
    for before, after in pairwise(places):
        num_chunks = round((after - before) / 2 / chunk_tokens)
        edge = before + num_chunks * chunk_tokens
        saved = expected_tokens(before, edge, after, places[-1])
        if saved >= _MIN_EXPECTED_TOKENS:
            found.append((saved / max(1, bytes_at(edge)), edge))
    return found
