"""A model that writes nothing but spaces within a call costs no more than their number."""

from __future__ import annotations

import time

import pytest

from pensieve.core.answers.openings import after_arguments, read_head
from pensieve.models.tokenizers.dialect_of import Family, known_families

SPACES = " " * 20_000
"""In quadratic time they take 10 s, in cubic time a day."""


STREAMED = [family for family in known_families() if "{arguments}" in family.dialect.calls.call]


@pytest.mark.parametrize("family", STREAMED, ids=lambda family: family.dialect.name)
def test_spaces_take_linear_time(family: Family) -> None:
    calls = family.dialect.calls
    before = calls.call.partition("{arguments}")[0].replace("{name}", "look")
    started = time.process_time()
    for body in (SPACES, f"[{SPACES}", f"{before}{SPACES}", f"{SPACES}{before}{SPACES}x"):
        read_head(body, calls)
        after_arguments(body, calls)
    assert time.process_time() - started < 5
