"""A turn computes only its new tokens (C1, C2), shared prefixes are computed once (C6), and usage reports it (W17)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.checked import checked
from contracts.protocols.inference import InferenceModel
from contracts.values.generation import GenerationEvent, GenerationFinished, GenerationStarted, TextGenerated, Usage
from contracts.values.vocabulary import BufferUsage, ChatMessage, GenerationRequest, Role, Sampling
from pensieve.core.prefixes.boundary import Boundary
from pensieve.device.device import device_info
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.assembly import EngineParts
from pensieve.engine.engine import Engine
from pensieve.engine.memory.probe import CHUNK_TOKENS
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.match import Match
from pensieve.engine.prompt_cache.open import CacheOptions
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.prompt_cache.store import KVStore
from pensieve.models.files.model_folder import ModelFolder
from tests.support.engines import GIB, memory_of, parts_of, start_engine

MIB = 1024**2
SYSTEM = ChatMessage(Role.SYSTEM, "You know every lighthouse by its light. " * 12)
GREEDY = Sampling(temperature=0.0)


@asynccontextmanager
async def engine_of(
    folder: ModelFolder,
    *,
    memory_bytes: int = 64 * MIB,
    home: Path | None = None,
    chunk_tokens: int = 32,
    change: Callable[[EngineParts], EngineParts] = lambda parts: parts,
) -> AsyncIterator[Engine]:
    options = EngineOptions(cache=CacheOptions(memory_bytes, GIB if home else 0, home))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CHUNK_TOKENS, device_info().backend, chunk_tokens)
        engine = await start_engine(folder, options, change=change)
    try:
        yield engine
    finally:
        await engine.aclose()


def asking(*turns: str, max_tokens: int = 6, ttl: int | None = None, system: ChatMessage = SYSTEM) -> GenerationRequest:
    roles = [Role.USER, Role.ASSISTANT]
    messages = [ChatMessage(roles[number % 2], text) for number, text in enumerate(turns)]
    messages[-1] = replace(messages[-1], cache_ttl_seconds=ttl)
    return GenerationRequest((system, *messages), max_tokens, GREEDY)


async def events_of(engine: Engine, request: GenerationRequest) -> list[GenerationEvent]:
    async with aclosing(checked(InferenceModel, engine).generate(request)) as events:
        return [event async for event in events]


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextGenerated))


def usage_of(events: list[GenerationEvent]) -> Usage:
    assert isinstance(events[-1], GenerationFinished)
    return events[-1].usage


def play_with(play: Callable[[Engine], Awaitable[None]], folder: ModelFolder, **given: object) -> None:
    async def run() -> None:
        async with engine_of(folder, **given) as engine:  # type: ignore[arg-type]  # the keywords of engine_of
            await play(engine)

    asyncio.run(run())


def test_a_second_turn_computes_only_its_new_tokens(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        first = await events_of(engine, asking("Which one?"))
        whole = usage_of(first).input_tokens + usage_of(first).output_tokens
        assert usage_of(first).cached_tokens == 0
        second = await events_of(engine, asking("Which one?", text_of(first), "And then?"))
        assert usage_of(second).cached_tokens >= whole - 1
        assert engine.prompt_tokens().read == usage_of(second).cached_tokens
        started = second[0]
        assert isinstance(started, GenerationStarted)
        assert started.cached_tokens <= usage_of(second).cached_tokens

    play_with(play, tiny_folder)


def test_the_prompt_cache_changes_no_answer(tiny_folder: ModelFolder) -> None:
    """Both runs prefill in the same chunks, so that rounding does not depend on them."""

    async def conversation(engine: Engine) -> list[str]:
        turns: list[str] = []
        for question in ("Which one?", "And then?", "Why?"):
            turns.append(question)
            turns.append(text_of(await events_of(engine, asking(*turns, max_tokens=8))))
        return turns

    found: list[list[str]] = []

    async def play(engine: Engine) -> None:
        found.append(await conversation(engine))

    play_with(play, tiny_folder)
    play_with(play, tiny_folder, memory_bytes=0)
    assert found[0] == found[1]


def test_usage_reports_breakpoints_as_written_and_then_as_read(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        first = usage_of(await events_of(engine, asking("Which one?", ttl=3600)))
        assert first.stored_1h_tokens > 0.9 * first.input_tokens
        assert first.stored_5m_tokens == 0
        again = usage_of(await events_of(engine, asking("Which one?", ttl=300)))
        assert again.cached_tokens == again.input_tokens - 1
        assert (again.stored_5m_tokens, again.stored_1h_tokens) == (0, 0)
        other = usage_of(await events_of(engine, asking("Which other one?", ttl=300)))
        assert 0 < other.stored_5m_tokens < other.input_tokens - other.cached_tokens

    play_with(play, tiny_folder)


def test_usage_does_not_report_a_prompt_that_is_too_large_to_cache(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        for _ in range(2):
            usage = usage_of(await events_of(engine, asking("Which one?", ttl=300)))
            assert (usage.cached_tokens, usage.stored_5m_tokens, usage.stored_1h_tokens) == (0, 0, 0)

    play_with(play, tiny_folder, memory_bytes=100)


def test_a_shared_prefix_of_concurrent_requests_is_computed_once(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        one, other = await asyncio.gather(*(events_of(engine, asking(text)) for text in ("Which one?", "Why so?")))
        num_cached = max(usage_of(one).cached_tokens, usage_of(other).cached_tokens)
        assert num_cached > 0.8 * usage_of(one).input_tokens
        assert min(usage_of(one).cached_tokens, usage_of(other).cached_tokens) == 0

    play_with(play, tiny_folder)


def test_a_retry_joins_the_running_request(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        request = asking("Which one?", max_tokens=40)
        warm = replace(request, sampling=Sampling(temperature=1.0), max_tokens=41)
        for again_request, joins in ((request, True), (warm, False), (replace(warm, is_retry=True), True)):
            before = engine.prompt_tokens().computed + engine.prompt_tokens().read
            async with aclosing(engine.generate(replace(again_request, is_retry=False))) as first:
                await anext(first)
                again = await events_of(engine, again_request)
                rest = [event async for event in first]
            computed = engine.prompt_tokens().computed + engine.prompt_tokens().read - before
            assert computed == usage_of(again).input_tokens * (1 if joins else 2)
            assert (rest == again[1:]) == joins

    play_with(play, tiny_folder)


def test_a_client_that_joined_is_answered_when_the_first_one_disconnects(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        request = asking("Which one?", max_tokens=60)
        async with aclosing(engine.generate(request)) as first:
            await anext(first)
            joined = asyncio.create_task(events_of(engine, request))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert usage_of(await joined).output_tokens > 0
        assert engine.num_active == 0

    play_with(play, tiny_folder)


def test_a_cancelled_prefill_is_cached_as_far_as_it_got(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        long = replace(SYSTEM, text=SYSTEM.text * 8)
        async with aclosing(engine.generate(asking("Which one?", system=long))) as events:
            await anext(events)
            while not (await engine.memory_usage()).kv_cache_bytes:  # noqa: ASYNC110 - the thread has no event for it
                await asyncio.sleep(0.001)
        usage = usage_of(await events_of(engine, asking("Which one?", system=long)))
        assert usage.cached_tokens > 0
        assert usage.cached_tokens % 8 == 0  # whole chunks

    play_with(play, tiny_folder, chunk_tokens=8)


def test_computed_prompts_outlive_the_engine(tiny_folder: ModelFolder, tmp_path: Path) -> None:
    first: list[GenerationEvent] = []

    async def before(engine: Engine) -> None:
        first.extend(await events_of(engine, asking("Which one?")))

    async def after(engine: Engine) -> None:
        second = usage_of(await events_of(engine, asking("Which one?", text_of(first), "And then?")))
        assert second.cached_tokens > 0.9 * usage_of(first).input_tokens
        assert engine.prompt_tokens().from_disk == second.cached_tokens

    play_with(before, tiny_folder, home=tmp_path)
    play_with(after, tiny_folder, home=tmp_path)


def test_cached_prompts_are_evicted_for_requests(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        memory = memory_of(engine)
        await events_of(engine, asking("Which one?", system=replace(SYSTEM, text=SYSTEM.text * 8)))
        assert memory.reserved_bytes(BufferUsage.STORED_PROMPTS) > 0
        assert memory.usage().stored_prompts_bytes > 0
        left = memory.capacity_bytes - memory.reserved_bytes()
        held = memory.reserve(left, BufferUsage.TEMPORARY)
        usage = usage_of(await events_of(engine, asking("Why?", system=ChatMessage(Role.SYSTEM, "Be brief."))))
        assert usage.output_tokens > 0
        memory.release(held)

    play_with(play, tiny_folder)


def test_a_request_evicts_other_prompts_before_its_own(tiny_folder: ModelFolder) -> None:
    async def play(engine: Engine) -> None:
        mine, *others = (replace(SYSTEM, text=f"{word} {SYSTEM.text * 4}") for word in ("Mine.", "His.", "Hers."))
        for system in (mine, *others):
            await events_of(engine, asking("Which one?", system=system))
        await asyncio.wrap_future(engine._loop.mailbox.call(lambda: None))  # by then the last one is cached as well
        memory = memory_of(engine)
        held = memory.reserve(memory.capacity_bytes - memory.reserved_bytes(), BufferUsage.TEMPORARY)
        usage = usage_of(await events_of(engine, asking("And then?", system=mine)))
        assert usage.cached_tokens > usage.input_tokens // 4
        memory.release(held)

    play_with(play, tiny_folder)


@pytest.mark.parametrize("part", ["system", "messages.0"])
def test_the_part_where_a_long_prompt_differs_is_reported(tiny_folder: ModelFolder, part: str) -> None:
    async def play(engine: Engine) -> None:
        long = SYSTEM.text * 4
        await events_of(engine, asking("Which one?", system=replace(SYSTEM, text=f"Yes. {long}")))
        if part == "system":
            request = asking("Which one?", system=replace(SYSTEM, text=f"No. {long}"))
        else:
            request = asking(f"That one? {long * 2}", system=replace(SYSTEM, text=f"Yes. {long}"))
        started = (await events_of(engine, request))[0]
        assert isinstance(started, GenerationStarted)
        assert started.differs_in == part

    play_with(play, tiny_folder)


class _Broken(KVStore):
    """Fails in `match` or in `insert`."""

    fails_at = ""

    def match(self, token_ids: Sequence[int], *, namespace: str = "") -> Match:
        if self.fails_at == "match":
            raise RuntimeError("a fault in the store")
        return super().match(token_ids, namespace=namespace)

    def insert(
        self,
        token_ids: Sequence[int],
        caches: Sequence[Any],
        boundaries: Sequence[Boundary] = (),
        *,
        move: bool = False,
        namespace: str = "",
    ) -> int:
        if self.fails_at == "insert":
            raise RuntimeError("a fault in the store")
        return super().insert(token_ids, caches, boundaries, move=move, namespace=namespace)


@pytest.mark.parametrize("fails_at", ["match", "insert"])
def test_a_failing_store_is_switched_off_and_requests_are_answered(
    tiny_folder: ModelFolder, fails_at: str, caplog: pytest.LogCaptureFixture
) -> None:
    def with_broken_store(parts: EngineParts) -> EngineParts:
        store = _Broken(parts.model, limit_bytes=MIB)
        store.fails_at = fails_at
        return replace(parts, prompt_cache=PromptCache(DeviceMemory(GIB), store))

    async def play(engine: Engine) -> None:
        for _ in range(2):
            assert usage_of(await events_of(engine, asking("Which one?"))).output_tokens > 0
        assert parts_of(engine).prompt_cache.limit_bytes == 0
        assert caplog.text.count("the prompt cache failed") == 1

    play_with(play, tiny_folder, change=with_broken_store)
