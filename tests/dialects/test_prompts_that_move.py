"""docs/dialects.md names the dialects whose prompts move; test_templates finds them with real templates."""

from __future__ import annotations

from pensieve.models.tokenizers.dialect_of import dialect_for, known_families
from tests.dialects.prompts_that_move import MOVED
from tests.dialects.real.families import family


def test_the_page_names_the_dialects_whose_prompts_move() -> None:
    moved = {dialect_for(family(name).chat_template, {}).name for name in MOVED}
    assert moved == {known.dialect.name for known in known_families() if known.moves}
