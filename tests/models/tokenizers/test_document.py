"""docs/dialects.md is up to date with the dialects' files."""

from __future__ import annotations

from pathlib import Path

from pensieve.models.tokenizers.dialect_of import known_families
from pensieve.models.tokenizers.document import dialects_document

PAGE = Path(__file__).parents[3] / "docs" / "dialects.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == dialects_document(), "regenerate it as the top of the page describes"


def test_every_dialect_has_a_section_that_names_its_source() -> None:
    text = dialects_document()
    for family in known_families():
        assert f"\n## {family.dialect.name}\n" in text
        assert family.source in text
        assert family.detect
