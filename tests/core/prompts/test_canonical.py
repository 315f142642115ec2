"""What is taken out of system text, what a marker wishes, and the page that tells of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.prompts.canonical import (
    NORMALISATIONS,
    cache_ttl_seconds,
    canonical_prompts_document,
    canonical_system_text,
    longest_ttl,
)

PAGE = Path(__file__).parents[3] / "docs" / "canonical-prompts.md"


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
def test_what_changes_by_itself_is_dropped_from_system_text(text: str, canonical: str) -> None:
    assert canonical_system_text(text) == canonical


@given(st.text(), st.text("0123456789,"))
def test_a_canonical_text_is_canonical(text: str, count: str) -> None:
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
def test_a_marker_wishes_for_five_minutes_or_an_hour_and_is_never_wrong(
    cache_control: object, seconds: int | None
) -> None:
    assert cache_ttl_seconds(cache_control) == seconds


def test_the_longest_wish_counts() -> None:
    assert longest_ttl(None, 300, 3600, None) == 3600
    assert longest_ttl(None) is None


def test_the_page_and_the_table_agree() -> None:
    assert PAGE.read_text(encoding="utf-8") == canonical_prompts_document()


@pytest.mark.parametrize("row", NORMALISATIONS, ids=lambda row: row.name)
def test_every_normalisation_has_its_reason_and_a_pair_of_requests(row: object) -> None:
    assert row in NORMALISATIONS
    for name in ("rule", "reason"):
        assert str(getattr(row, name)).endswith(".")
    one, other = (json.loads(getattr(row, name)) for name in ("one", "other"))
    assert one != other
