"""An engine whose model has an MTP head: what it reserves, and its answers alone, together, warm and from disk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import pytest

from contracts.values.vocabulary import BufferUsage, ChatMessage, GenerationRequest, Role
from pensieve.core.drafts.prompt_lookup import PromptLookup
from pensieve.engine.engine import Engine
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.open import CacheOptions
from pensieve.models.estimate.known_model import known_model
from pensieve.models.files.model_folder import ModelFolder
from tests.engine.speculation.mtp_models import write_mtp_model
from tests.engine.speculation.test_engine_with_draft_model import eager
from tests.engine.support.generate import GREEDY, answer, user_request
from tests.support.engines import GIB, memory_of, parts_of, start_engine

FIRST, OTHER = 12 * "Tell me about the sea. ", "Count to three."
NUM_TOKENS = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    path = write_mtp_model(tmp_path_factory.mktemp("glm"), "glm4_moe")
    return ModelFolder(path, "small", "small", "2026-01-01T00:00:00Z")


@pytest.fixture(autouse=True)
def no_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptLookup, "has_source", False)


def _second_turn(text: str) -> GenerationRequest:
    roles = (Role.USER, Role.ASSISTANT, Role.USER)
    messages = zip(roles, (FIRST, text, "And then?"), strict=True)
    return GenerationRequest(tuple(ChatMessage(role, each) for role, each in messages), NUM_TOKENS, GREEDY)


@dataclass(frozen=True)
class _Played:
    texts: list[str]
    cached_tokens: list[int]
    """Of the second turn: from memory, then from disk."""
    weights_bytes: int
    engine: Engine


async def _play(folder: ModelFolder, options: EngineOptions) -> _Played:
    """Two requests together and a second turn; then the second turn again, on an engine that starts with what the
    first one stored on disk.
    """
    engine = await start_engine(folder, options, change=eager)
    weights_bytes = memory_of(engine).reserved_bytes(BufferUsage.MODEL_WEIGHTS)
    together = await asyncio.gather(*(answer(engine, user_request(text, NUM_TOKENS)) for text in (FIRST, OTHER)))
    second = await answer(engine, _second_turn(together[0][0]))
    await engine.aclose()
    restarted = await start_engine(folder, options, change=eager)
    again = await answer(restarted, _second_turn(together[0][0]))
    await restarted.aclose()
    cached_tokens = [finished.usage.cached_tokens for _, finished in (second, again)]
    return _Played([text for text, _ in (*together, second, again)], cached_tokens, weights_bytes, engine)


def _options(home: Path, *, mtp: bool) -> EngineOptions:
    return EngineOptions(mtp=mtp, cache=CacheOptions(memory_bytes=GIB // 4, disk_bytes=GIB, home=home))


def test_answers_stay_the_same_and_its_memory_is_reserved(folder: ModelFolder, tmp_path: Path) -> None:
    plain = asyncio.run(_play(folder, _options(tmp_path / "plain", mtp=False)))
    drafted = asyncio.run(_play(folder, _options(tmp_path / "drafted", mtp=True)))
    assert drafted.texts == plain.texts
    assert min(drafted.cached_tokens) > 0, drafted.cached_tokens
    counts = drafted.engine.speculation_counts()
    assert counts.accepted > 8
    assert counts.tokens_per_pass > 1.2
    assert plain.engine.speculation_counts().proposed == 0

    sizes, plain_sizes = parts_of(drafted.engine).plan.sizes, parts_of(plain.engine).plan.sizes
    assert 2 * sizes.bytes_per_token == 3 * plain_sizes.bytes_per_token, "the model has two layers, and the head one"
    known = known_model("small", folder, dense=True, with_mtp=True)
    assert (known.speculation, known.weights_bytes) == ("mtp", drafted.weights_bytes)
    assert known_model("small", folder, dense=True).weights_bytes == plain.weights_bytes
    assert drafted.engine.speculation == "mtp"
    assert plain.engine.speculation == "prompt_lookup"


def test_a_head_that_cannot_be_used_is_not_reported_to_draft(tmp_path: Path) -> None:
    path = write_mtp_model(tmp_path, "glm4_moe")
    for file in path.glob("*.safetensors"):
        tensors = mx.load(str(file))
        assert isinstance(tensors, dict)
        damaged = {name: each[:1] if name.endswith("eh_proj.weight") else each for name, each in tensors.items()}
        mx.save_safetensors(str(file), damaged, {"format": "mlx"})

    async def play() -> None:
        engine = await start_engine(ModelFolder(path, "small", "small", "2026-01-01T00:00:00Z"))
        assert engine.speculation == "prompt_lookup"
        text, _ = await answer(engine, user_request("Hello", 4))
        assert text
        await engine.aclose()

    asyncio.run(play())
