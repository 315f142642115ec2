"""The table of normalisations is complete, and docs/canonical-prompts.md is made from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pensieve.core.prompts.normalisations import NORMALISATIONS, Normalisation, canonical_prompts_document

PAGE = Path(__file__).parents[3] / "docs" / "canonical-prompts.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == canonical_prompts_document()


@pytest.mark.parametrize("row", NORMALISATIONS, ids=lambda row: row.name)
def test_every_normalisation_has_its_reason_and_a_pair_of_requests(row: Normalisation) -> None:
    assert row in NORMALISATIONS
    for name in ("rule", "reason"):
        assert str(getattr(row, name)).endswith(".")
    one, other = (json.loads(getattr(row, name)) for name in ("one", "other"))
    assert one != other
