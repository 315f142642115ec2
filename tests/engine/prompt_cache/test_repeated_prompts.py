"""A prompt that the cache has whole, except for the last token, is answered like the first time (C1)."""

from __future__ import annotations

import logging

import pytest

from pensieve.engine.engine import Engine
from pensieve.models.files.model_folder import ModelFolder
from tests.engine.prompt_cache.test_prompt_cache import asking, events_of, play_with, text_of, usage_of


@pytest.mark.parametrize("max_tokens", [0, 1, 2, 6])
def test_answers_of_any_length_repeat_and_nothing_is_computed_twice(
    tiny_folder: ModelFolder, caplog: pytest.LogCaptureFixture, max_tokens: int
) -> None:
    """Such a request is complete, and with one token also at its end, in its first step."""

    async def play(engine: Engine) -> None:
        request = asking("Which one?", max_tokens=max_tokens)
        first, *others = [await events_of(engine, request) for _ in range(3)]
        assert usage_of(first).cached_tokens == 0
        for again in others:
            assert text_of(again) == text_of(first)
            assert usage_of(again).cached_tokens == usage_of(first).input_tokens - 1

    play_with(play, tiny_folder)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
