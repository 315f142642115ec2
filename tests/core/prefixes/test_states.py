"""States are kept where prompts part, and between chunks where they save most tokens per byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.core.prefixes.states import (
    MAX_EDGES,
    SharedTokens,
    States,
    branch_boundaries,
    edge_boundaries,
    further_boundaries,
)


def edges(kept: list[int], free_bytes: int = 10**9, *, chunk_tokens: int = 128, per_token: int = 0) -> list[int]:
    found = edge_boundaries(kept, States(chunk_tokens, lambda tokens: 1000 + per_token * tokens), free_bytes)
    assert all(each.kind is BoundaryKind.EDGE for each in found)
    return [each.num_tokens for each in found]


def test_a_state_is_kept_where_a_prompt_leaves_a_stored_one() -> None:
    assert branch_boundaries(0, 500, 900) == (Boundary(500, BoundaryKind.BRANCH),)
    assert branch_boundaries(500, 500, 900) == (), "there is a state already"
    assert branch_boundaries(470, 500, 900) == (), "too few tokens to matter"
    assert branch_boundaries(0, 900, 900) == (), "the prompt ends there"


def test_the_longest_gap_is_halved_first() -> None:
    assert edges([0, 1024]) == [256, 512, 768]
    assert edges([0, 300, 4096])[:1] != [150]
    assert 2220 in edges([0, 300, 4096])


def test_a_gap_that_saves_little_gets_none() -> None:
    assert edges([0, 200]) == []
    assert edges([2000, 2100, 2200]) == []


def test_the_bytes_that_are_free_are_the_limit() -> None:
    assert edges([0, 4096], 999) == []
    assert edges([0, 4096], 1000) == [2048]
    assert len(edges([0, 10**6])) == MAX_EDGES


def test_of_two_gaps_the_one_with_the_smaller_state_comes_first() -> None:
    """States of a hybrid grow with the tokens of its attention layers."""
    assert edges([0, 2048, 4096], 3000, per_token=1) == [1024]


def test_a_prompts_further_states_leave_out_what_is_cached() -> None:
    own = (Boundary(200, BoundaryKind.SYSTEM), Boundary(4000, BoundaryKind.TURN))
    found = further_boundaries(4100, SharedTokens(1024, 2100), own, States(128, lambda _: 1000), 3000)
    assert [(each.num_tokens, each.kind.value) for each in found] == [
        (2100, "branch"), (1536, "edge"), (2996, "edge"),
    ]  # fmt: skip


@given(st.lists(st.integers(0, 50_000), min_size=1, max_size=6), st.integers(16, 2048), st.integers(0, 10**6))
def test_edges_lie_between_states_and_fit(kept: list[int], chunk_tokens: int, free_bytes: int) -> None:
    found = edges(kept, free_bytes, chunk_tokens=chunk_tokens, per_token=2)
    assert sum(1000 + 2 * each for each in found) <= free_bytes
    assert all(min(kept) < each < max(kept) for each in found)
    assert not set(found) & set(kept)
