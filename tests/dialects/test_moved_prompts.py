"""docs/dialects.md says of which families prompts move; test_templates says it of their real templates."""

from __future__ import annotations

from pensieve.models.tokenizers.dialect_of import dialect_for, known_families
from tests.dialects.moved_prompts import MOVED
from tests.dialects.real.families import family


def test_the_page_lists_the_dialects_of_the_families_whose_prompts_move() -> None:
    moved = {dialect_for(family(name).chat_template, {}).name for name in MOVED}
    assert moved == {known.dialect.name for known in known_families() if known.moves}
