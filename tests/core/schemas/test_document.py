"""docs/schemas.md is up to date with the tables of keywords."""

from __future__ import annotations

from pathlib import Path

from pensieve.core.schemas.document import schemas_document

PAGE = Path(__file__).parents[3] / "docs" / "schemas.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == schemas_document(), "regenerate it as the top of the page describes"
