"""The common prefix is found whatever kind of sequence holds the tokens."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.prefixes.common_prefix import common_prefix

TOKENS = st.lists(st.integers(0, 2), max_size=30)


def _memoryview(token_ids: Sequence[int]) -> memoryview:
    return memoryview(array("I", token_ids))


@pytest.mark.parametrize("make", [list, tuple, _memoryview])
@given(one=TOKENS, other=TOKENS)
def test_the_common_prefix_is_counted(
    make: Callable[[Sequence[int]], Sequence[int]], one: list[int], other: list[int]
) -> None:
    pairs = list(zip(one, other, strict=False))
    expected = next((index for index, (a, b) in enumerate(pairs) if a != b), len(pairs))
    assert common_prefix(make(one), make(other)) == expected


def test_one_sequence_may_be_a_prefix_of_the_other() -> None:
    assert common_prefix([1, 2, 3], [1, 2, 3, 4]) == common_prefix([1, 2, 3, 4], [1, 2, 3]) == 3
