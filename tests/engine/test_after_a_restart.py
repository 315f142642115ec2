"""What is read from disk after a restart continues as mlx-lm's own model would, whatever kinds of caches there are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.open import CacheOptions
from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.files.model_folder import ModelFolder
from tests.dialects.matrix.coverage import SEEDS
from tests.dialects.matrix.model_types import config_of
from tests.dialects.matrix.row import (
    END_OF_TURN,
    MlxLmModel,
    conversation,
    prompt_of,
    rendered,
    text_of,
    tokens_of,
    write_small_model,
)
from tests.engine.speculation.test_engine_with_draft_model import eager
from tests.engine.support.generate import answer
from tests.support.engines import GIB, start_engine

FIRST: Final = 12 * "Tell me about the sea. "
THEN: Final = "And then?"


@pytest.mark.parametrize(
    "model_type", ["qwen3_5", "gpt_oss", "deepseek_v3", "mamba2", "gemma2", "llama4", "afm7", "deepseek_v41"]
)
def test_a_conversation_goes_on_from_disk_as_mlx_lm_would_continue_it(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    folder = write_small_model(tmp_path / "model", config_of(model_type), seed=SEEDS.get(model_type, 0))
    options = EngineOptions(cache=CacheOptions(memory_bytes=GIB // 4, disk_bytes=GIB, home=tmp_path / "home"))

    async def ask(*texts: str) -> tuple[str, int]:
        """By an engine of its own. The answer, and how many tokens it read from disk."""
        engine = await start_engine(
            ModelFolder(folder, model_type, model_type, "2026-01-01T00:00:00Z"), options, change=eager
        )
        try:
            text, _ = await answer(engine, conversation(*texts))
            return text, engine.prompt_tokens().from_disk
        finally:
            await engine.aclose()

    reference = MlxLmModel(folder)
    first = reference.answer(prompt_of(FIRST))
    then = [*prompt_of(FIRST), *first, *tokens_of(END_OF_TURN + rendered(THEN))]
    assert asyncio.run(ask(FIRST)) == (text_of(first), 0)
    second, from_disk = asyncio.run(ask(FIRST, text_of(first), THEN))
    assert second == text_of(reference.answer(then))
    assert from_disk >= len(prompt_of(FIRST))
