"""System text loses what changes by itself, and a cache marker requests five minutes or an hour."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.prompts.canonical import (
    cache_ttl_seconds,
    canonical_system_text,
    longest_ttl,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Be brief.", "Be brief."),
        ("x-anthropic-billing-header: cc_version=2.1.328.a1f; cch=9;", ""),
        ("x-anthropic-billing-header: a\nBe brief.", "Be brief."),
        ("Be\nx-anthropic-billing-header: a\nbrief.", "Be\nbrief."),
        ("Say x-anthropic-billing-header.", "Say x-anthropic-billing-header."),
        ("A\n<total_tokens>155,000 tokens left</total_tokens>\nB", "A\nB"),
        ("A <total_tokens>9 left</total_tokens> B", "A  B"),
        ("<total_tokens>9 left</total_tokens>", ""),
        ("<total_tokens>9 in all</total_tokens>", "<total_tokens>9 in all</total_tokens>"),
        ("  ", "  "),
    ],
)
def test_system_text_loses_what_changes_by_itself(text: str, canonical: str) -> None:
    assert canonical_system_text(text) == canonical


@given(st.text(), st.text("0123456789,"))
def test_canonical_text_stays_the_same(text: str, count: str) -> None:
    once = canonical_system_text(f"{text}\n<total_tokens>{count} left</total_tokens>\n{text}")
    assert canonical_system_text(once) == once


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        (None, None),
        ({"type": "ephemeral"}, 300),
        ({"type": "ephemeral", "ttl": "5m"}, 300),
        ({"type": "ephemeral", "ttl": "1h"}, 3600),
        ({"type": "eternal", "ttl": ["1h"]}, 300),
        ("yes", None),
        (7, None),
    ],
)
def test_a_cache_marker_requests_five_minutes_or_an_hour_and_is_never_an_error(
    cache_control: object, seconds: int | None
) -> None:
    assert cache_ttl_seconds(cache_control) == seconds


def test_the_longest_time_to_live_counts() -> None:
    assert longest_ttl(None, 300, 3600, None) == 3600
    assert longest_ttl(None) is None
