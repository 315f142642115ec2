"""Searching in slices finds what one search finds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pensieve.models.prompts.encoding import slices


@given(text=st.text("ab<|>", max_size=60), size=st.integers(1, 9))
@pytest.mark.parametrize("pattern", ["<a>|<ab>|<", "(?=(<a|<))", "a|ab", "<[|]a[|]>"])
def test_slices_find_the_same(pattern: str, text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "SLICE", size)
        found = slices.find_all(re.compile(pattern), text, 5)
        assert [match.span() for match in found] == [match.span() for match in re.finditer(pattern, text)]
