"""Counting the values of a JSON body before it is parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pensieve.api.http import body_values
from pensieve.api.http.body_values import MAX_VALUES, require_few_values
from pensieve.core.errors import ValidationError

TEXT = st.text(st.sampled_from('a"\\,[{:}]é\n'), max_size=40)
JSON = st.recursive(
    TEXT | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)


def num_values(value: Any) -> int:
    """An empty list or object counts as one."""
    if not isinstance(value, dict | list):
        return 0
    parts = value.values() if isinstance(value, dict) else value
    return max(1, len(value)) + sum(map(num_values, parts))


@given(JSON, st.booleans(), st.integers(1, 40))
def test_only_what_is_outside_of_strings_counts(value: object, ensure_ascii: bool, num_bytes: int) -> None:  # noqa: FBT001
    body = json.dumps(value, ensure_ascii=ensure_ascii).encode()
    expected = num_values(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body_values, "SLICE", num_bytes)
        patch.setattr(body_values, "MAX_VALUES", expected)
        require_few_values(body)
        patch.setattr(body_values, "MAX_VALUES", expected - 1)
        if expected:
            with pytest.raises(ValidationError, match=r"^body: has more than"):
                require_few_values(body)


def test_text_may_have_any_number_of_commas_and_brackets() -> None:
    require_few_values(json.dumps({"text": "[1, 2], " * MAX_VALUES}).encode())


@pytest.mark.parametrize("body", [b"[" * (MAX_VALUES + 1), b"[" + b"0," * (MAX_VALUES + 1), b'{"a":[{},' * MAX_VALUES])
def test_a_body_that_goes_on_without_end_is_refused(body: bytes) -> None:
    with pytest.raises(ValidationError, match=rf"more than {MAX_VALUES} JSON values"):
        require_few_values(body)
