"""Each token written to the cache counts once, for the next breakpoint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.core.prefixes.cache_usage import cache_creation_tokens

BREAKPOINTS = st.lists(
    st.builds(Boundary, st.integers(0, 90), st.just(BoundaryKind.BREAKPOINT), st.sampled_from([300, 3600]))
)


@pytest.mark.parametrize(
    ("boundaries", "cached_tokens", "expected"),
    [
        ([], 0, (0, 0)),
        ([(100, 300)], 0, (100, 0)),
        ([(100, 300)], 60, (40, 0)),
        ([(100, 300)], 100, (0, 0)),
        ([(100, 3600), (140, 300)], 30, (40, 70)),
        ([(140, 300), (100, 3600)], 120, (20, 0)),
        ([(50, None)], 0, (50, 0)),
    ],
)
def test_tokens_before_a_breakpoint_count_as_written(
    boundaries: list[tuple[int, int | None]], cached_tokens: int, expected: tuple[int, int]
) -> None:
    marked = [Boundary(num_tokens, BoundaryKind.BREAKPOINT, ttl) for num_tokens, ttl in boundaries]
    assert cache_creation_tokens(marked, cached_tokens) == expected


def test_other_boundaries_do_not_count() -> None:
    others = [kind for kind in BoundaryKind if kind is not BoundaryKind.BREAKPOINT]
    assert cache_creation_tokens([Boundary(10, kind) for kind in others], 0) == (0, 0)


@given(boundaries=BREAKPOINTS, cached_tokens=st.integers(0, 90))
def test_the_counts_add_up_to_the_new_tokens_before_the_last_breakpoint(
    boundaries: list[Boundary], cached_tokens: int
) -> None:
    last = max((boundary.num_tokens for boundary in boundaries), default=0)
    assert sum(cache_creation_tokens(boundaries, cached_tokens)) == max(0, last - cached_tokens)
