"""An engine with a draft model: the memory reserved for it, what it returns, and which models are refused."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.values.vocabulary import BufferUsage
from pensieve.core.errors import InsufficientMemoryError, ModelLoadingError
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.assembly import EngineParts
from pensieve.engine.engine import Engine
from pensieve.engine.kv.sizes import KVSizes, LayerKV
from pensieve.engine.memory.plan import MemoryPlan
from pensieve.engine.memory.probe import Probe, probe
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.options import EngineOptions
from pensieve.engine.speculation.draft_model import ready_to_draft, require_same_vocabulary
from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import LoadedModel
from tests.engine.speculation.test_speculation import Eager
from tests.engine.support.generate import answer, until, user_request
from tests.engine.support.tiny_modules import tiny_module
from tests.support.engines import GIB, batch_of, holds_kv, parts_of, start_engine
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

PROMPTS = ("What is a pensieve?", "Say something else, and at length.", "x")


def eager(parts: EngineParts) -> EngineParts:
    """Every pass pays, and so does every draft."""
    if parts.drafter is not None:
        parts.drafter.seconds = lambda *_: 0.1  # type: ignore[method-assign]
    return replace(parts, pace=Eager())


async def _play(folder: ModelFolder, options: EngineOptions) -> tuple[Any, Engine]:
    """Answer several requests at once, close the engine, and check that no memory stays reserved or cached."""
    memory = DeviceMemory(4 * GIB)
    engine = await start_engine(folder, options, memory, eager)
    answers = await asyncio.gather(*(answer(engine, user_request(text, 40)) for text in PROMPTS))
    kv_bytes = memory.reserved_bytes(BufferUsage.KV_CACHE)
    weights_bytes = memory.reserved_bytes(BufferUsage.MODEL_WEIGHTS)
    await engine.aclose()
    assert kv_bytes == 0
    assert all(model.model is None for model in parts_of(engine).models)
    assert weights_bytes > 0
    assert [memory.reserved_bytes(usage) for usage in BufferUsage if usage is not BufferUsage.TEMPORARY] == [0] * (
        len(BufferUsage) - 1
    )
    return answers, engine


def test_answers_stay_the_same_and_memory_is_returned(tiny_folder: ModelFolder) -> None:
    plain, without = asyncio.run(_play(tiny_folder, EngineOptions(speculation=False)))
    drafted, engine = asyncio.run(_play(tiny_folder, EngineOptions(draft_model=tiny_folder)))
    assert drafted == plain
    counts = engine.speculation_counts()
    assert counts.accepted > 20
    assert counts.tokens_per_pass > 1.5
    assert parts_of(engine).plan.sizes.bytes_per_token == 2 * parts_of(without).plan.sizes.bytes_per_token


def test_a_client_that_leaves_frees_the_draft_models_memory_too(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        engine = await start_engine(tiny_folder, EngineOptions(draft_model=tiny_folder), change=eager)
        async with aclosing(engine.generate(user_request(PROMPTS[0], 1500))) as events:
            async for _ in events:
                if engine.speculation_counts().accepted:
                    break
        await until(lambda: not holds_kv(engine))
        assert batch_of(engine).kv_cache_bytes == 0
        await engine.aclose()

    asyncio.run(play())


def test_its_weights_are_reserved_before_they_are_loaded(tiny_folder: ModelFolder) -> None:
    """Memory for one model is not enough for two: the file headers suffice to refuse, with the sum of both."""

    async def start(memory: DeviceMemory, options: EngineOptions) -> int:
        engine = await Engine.start(tiny_folder, memory, SlidingWindowMonitor(memory.usage), options)
        weights_bytes = memory.reserved_bytes(BufferUsage.MODEL_WEIGHTS)
        await engine.aclose()
        return weights_bytes

    one = asyncio.run(start(DeviceMemory(4 * GIB), EngineOptions()))
    both = EngineOptions(draft_model=tiny_folder)
    assert asyncio.run(start(DeviceMemory(4 * GIB), both)) == 2 * one
    memory = DeviceMemory(2 * one - 1)
    with pytest.raises(InsufficientMemoryError) as refused:
        asyncio.run(start(memory, both))
    assert refused.value.required_bytes >= 2 * one
    assert memory.reserved_bytes() == 0


def test_a_window_limited_by_memory_mentions_the_draft_model() -> None:
    memory = DeviceMemory(10_000_000)
    plan = MemoryPlan(memory, 1_000_000)
    main, draft = (Probe(16, 1000, 0, 1000, KVSizes((LayerKV(size),), in_rows=True)) for size in (6000, 2000))
    plan.add(main, 100_000, draft)
    assert plan.window_tokens == 1024, "8 kB a token, in whole growth steps"
    assert "the draft model's" in plan.why_this_window
    assert "8.0 kB" in plan.why_this_window
    assert "without --draft-model" in plan.why_this_window
    plan.release()
    assert memory.reserved_bytes() == 0


def test_another_vocabulary_is_refused_and_leaves_no_reservation(tiny_folder: ModelFolder, tmp_path: Path) -> None:
    bytes_only = write_byte_tokenizer(tmp_path / "tokenizer")
    other = write_tiny_model(tmp_path / "other", tokenizer_folder=bytes_only, vocab_size=259)
    draft = resolve(str(other), progress=ConsoleProgress())
    memory = DeviceMemory(4 * GIB)
    with pytest.raises(
        ModelLoadingError, match=r"--draft-model .*other: its vocabulary of 259 tokens .*4096 tokens .*choose"
    ):
        asyncio.run(
            Engine.start(tiny_folder, memory, SlidingWindowMonitor(memory.usage), EngineOptions(draft_model=draft))
        )
    assert memory.reserved_bytes(BufferUsage.MODEL_WEIGHTS) == 0


def test_a_damaged_draft_model_is_named_by_its_option(tiny_folder: ModelFolder, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "cut")
    draft = resolve(str(folder), progress=ConsoleProgress())
    (folder / "config.json").write_text(json.dumps({"model_type": "unheard_of"}), encoding="utf-8")
    memory = DeviceMemory(4 * GIB)
    with pytest.raises(ModelLoadingError, match=r"^cannot load --draft-model .*cut: "):
        asyncio.run(
            Engine.start(tiny_folder, memory, SlidingWindowMonitor(memory.usage), EngineOptions(draft_model=draft))
        )
    assert memory.reserved_bytes(BufferUsage.MODEL_WEIGHTS) == 0


def _tokenizer(*texts: str) -> Any:
    return SimpleNamespace(get_vocab=lambda: {text: index for index, text in enumerate(texts)})


def test_different_token_ids_are_refused_with_an_example() -> None:
    require_same_vocabulary("small", _tokenizer("a", "b"), _tokenizer("a", "b"))
    with pytest.raises(ModelLoadingError, match="'b' is token 1 in the first and token 2 in the second"):
        require_same_vocabulary("small", _tokenizer("a", "b", "cc"), _tokenizer("a", "cc", "b"))
    with pytest.raises(ModelLoadingError, match="'b' is not a token in the first and token 1 in the second"):
        require_same_vocabulary("small", _tokenizer("a"), _tokenizer("a", "b"))


def _with_tokenizer(kind: str) -> LoadedModel:
    model = tiny_module(kind)
    model.tokenizer = _tokenizer("a", "b")
    return model


@pytest.mark.parametrize("draft", ["gemma3_text", "mamba2"])
def test_a_draft_model_whose_caches_cannot_be_cut_is_refused(
    draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    memory, answering = DeviceMemory(GIB), _with_tokenizer("llama")
    probed = probe(answering, memory, chunk_tokens=32, max_bytes=GIB)
    with pytest.raises(ModelLoadingError, match=r"^cannot load --draft-model small: its layers .*serve"):
        ready_to_draft("small", _with_tokenizer(draft), answering, probed, memory)


def test_a_hybrid_may_have_a_draft_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own caches are restored after a rejected draft."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    memory, answering = DeviceMemory(GIB), _with_tokenizer("lfm2")
    probed = probe(answering, memory, chunk_tokens=32, max_bytes=GIB)
    assert ready_to_draft("small", _with_tokenizer("llama"), answering, probed, memory).window_tokens
