"""Models that are not batched serve requests one at a time, each with its own caches, and cache prompts exactly."""

from __future__ import annotations

import asyncio
from pathlib import Path

import mlx.core as mx
import pytest

from contracts.values.vocabulary import GenerationRequest
from pensieve.engine.engine import Engine
from pensieve.engine.kv.snapshots import Snapshot, trimmed
from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.files.model_folder import ModelFolder
from tests.dialects.matrix.coverage import SEEDS
from tests.dialects.matrix.model_types import config_of
from tests.dialects.matrix.row import write_small_model
from tests.engine.kv.models import small
from tests.engine.support.generate import answer, until, user_request
from tests.engine.support.tiny_modules import continuation, prefill, prompt
from tests.support.engines import start_engine


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def write_folder(tmp_path: Path, model_type: str) -> ModelFolder:
    folder = write_small_model(tmp_path / "model", config_of(model_type), seed=SEEDS.get(model_type, 0))
    return ModelFolder(folder, model_type, model_type, "2026-01-01T00:00:00Z")


def test_requests_wait_their_turn_and_a_cancelled_one_makes_room(tmp_path: Path) -> None:
    async def run() -> None:
        engine = await start_engine(write_folder(tmp_path, "gemma2"))
        try:
            alone = [(await answer(engine, user_request(text)))[0] for text in ("one", "and two")]
            cancelled = asyncio.create_task(answer(engine, user_request("a long answer without a reader", 500)))
            await until(lambda: engine.num_active == 1)
            waiting = [asyncio.create_task(answer(engine, user_request(text))) for text in ("one", "and two")]
            await until(lambda: engine.num_active == 3)
            cancelled.cancel()
            assert [(await task)[0] for task in waiting] == alone
        finally:
            await engine.aclose()

    asyncio.run(run())


def test_a_request_cancelled_during_prefill_changes_nothing_for_the_next(tmp_path: Path) -> None:
    async def run() -> None:
        engine = await start_engine(write_folder(tmp_path, "llama4"))
        try:
            expected = await answer(engine, user_request("x" * 300))
            for _ in range(3):
                await _start_and_cancel(engine, user_request("x" * 900))
            assert await answer(engine, user_request("x" * 300)) == expected
        finally:
            await engine.aclose()

    asyncio.run(run())


async def _start_and_cancel(engine: Engine, request: GenerationRequest) -> None:
    task = asyncio.create_task(answer(engine, request))
    await until(lambda: engine.num_active == 1)
    task.cancel()
    await until(lambda: engine.num_active == 0)


@pytest.mark.parametrize("model_type", ["llama4", "deepseek_v41"])
@pytest.mark.parametrize("num_tokens", [20, 90])
def test_a_snapshot_of_such_caches_continues_like_them(model_type: str, num_tokens: int) -> None:
    """Before and after their windows and chunks are full."""
    model = small(model_type)
    caches = prefill(model, prompt(num_tokens))
    snapshot = Snapshot.of(caches)
    expected = continuation(model, caches, 5)
    assert continuation(model, snapshot.caches(), 5) == expected
    assert continuation(model, snapshot.caches(), 5) == expected


def test_chunked_caches_are_not_trimmed_once_their_beginning_is_dropped() -> None:
    model = small("llama4")
    whole = trimmed(prefill(model, prompt(20)), 5)
    assert whole is not None
    assert continuation(model, whole, 5) == continuation(model, prefill(model, prompt(20)[:15]), 5)
    caches = prefill(model, prompt(90))
    mx.eval(model.model(mx.array([[1]]), cache=caches))
    assert trimmed(caches, 5) is None
