"""`--context` is refused where the main model cannot have that window."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.values.vocabulary import ModelInfo
from pensieve.cli.serve.context import require_context
from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.core.errors import ValidationError
from pensieve.models.estimate.known_model import KnownModel

INFO = ModelInfo("tiny", "Tiny", 2048, "2026-01-01T00:00:00Z")


def known(context_tokens: int | None) -> KnownModel:
    """A model that was made for 2048 tokens, as it is known before it is loaded."""
    settings = ModelSettings(context_tokens=context_tokens)
    info = replace(INFO, context_window_tokens=settings.window_within(INFO.context_window_tokens))
    return KnownModel("tiny", info, settings=settings)


@pytest.mark.parametrize("context_tokens", [None, 1, 2047, 2048])
def test_a_window_that_the_model_has_is_accepted(context_tokens: int | None) -> None:
    require_context(known(context_tokens), INFO)


def test_more_than_the_model_was_made_for_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"--context: 4096 tokens exceed the model's window of 2048 tokens\. Use"):
        require_context(known(4096), INFO)


def test_more_than_fits_into_memory_is_refused_with_the_fix() -> None:
    loaded = replace(INFO, context_window_tokens=700)
    with pytest.raises(ValidationError, match=r"--context: 1000 tokens do not fit into memory, which holds 700\. Use"):
        require_context(known(1000), loaded)
    require_context(known(700), loaded)
