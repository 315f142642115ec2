"""The engine on a tiny model of random weights: what its contract does not already check."""

import asyncio
from contextlib import aclosing
from typing import Any

import mlx.core as mx
import pytest

from contracts.values.generation import GenerationFinished
from contracts.values.measurements import OperationMetrics, OperationPhase
from contracts.values.vocabulary import ModelFeature, Sampling, StopReason
from pensieve.core.errors import (
    GenerationError,
    InsufficientMemoryError,
    ModelLoadingError,
    OverloadedError,
)
from pensieve.device.device import device_info
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.engine import Engine
from pensieve.engine.memory.probe import CHUNK_TOKENS
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.options import EngineOptions
from pensieve.engine.requests.output import Output
from pensieve.models.files.model_folder import ModelFolder
from tests.engine.support.generate import answer, until, user_request
from tests.support.engines import GIB, MakeEngine, batch_of, holds_kv, memory_of, parts_of, start_engine


async def assert_memory_is_released(engine: Engine) -> None:
    """The memory of ended requests is released after their last event."""
    await until(lambda: not holds_kv(engine))


def test_eight_concurrent_answers_are_those_of_eight_in_turn(make_engine: MakeEngine) -> None:
    prompts = [f"Number {number}: {'word ' * (3 * number)}" for number in range(8)]

    async def play() -> None:
        async with make_engine() as engine:
            in_turn = [(await answer(engine, user_request(prompt)))[0] for prompt in prompts]
            at_once = await asyncio.gather(*(answer(engine, user_request(prompt)) for prompt in prompts))
            assert [text for text, _ in at_once] == in_turn
            assert len(set(in_turn)) > 1

    asyncio.run(play())


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=2.0),
        Sampling(temperature=1e-300),
        Sampling(temperature=1.0, top_k=1),
        Sampling(temperature=1.0, top_k=10**9),
        Sampling(temperature=1.0, top_p=0.0),
        Sampling(temperature=0.7, top_p=0.9, top_k=40),
    ],
)
def test_sampling_at_the_limits_of_its_ranges_does_not_affect_other_requests(
    make_engine: MakeEngine, sampling: Sampling
) -> None:
    async def play() -> None:
        async with make_engine() as engine:
            alone, _ = await answer(engine, user_request("Hello"))
            beside, (_, finished) = await asyncio.gather(
                answer(engine, user_request("Hello")), answer(engine, user_request("Hello there", sampling=sampling))
            )
            assert beside[0] == alone
            assert finished.usage.output_tokens <= 12

    asyncio.run(play())


@pytest.mark.parametrize("sampling", [Sampling(1e-300), Sampling(1.0, top_k=1), Sampling(1.0, top_p=0.0)])
def test_sampling_that_leaves_one_candidate_is_greedy(make_engine: MakeEngine, sampling: Sampling) -> None:
    async def play() -> None:
        async with make_engine() as engine:
            assert await answer(engine, user_request("Hello", sampling=sampling)) == await answer(
                engine, user_request("Hello")
            )

    asyncio.run(play())


def test_a_stop_sequence_ends_the_generation_and_frees_its_place(make_engine: MakeEngine) -> None:
    async def play() -> None:
        async with make_engine() as engine:
            whole, _ = await answer(engine, user_request("Hello", 40))
            stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
            text, finished = await answer(engine, user_request("Hello", 40, stops=(stop, "never generated")))
            assert text == whole[: whole.index(stop)]
            assert (finished.stop_reason, finished.stop_sequence) == (StopReason.STOP_SEQUENCE, stop)
            await assert_memory_is_released(engine)

    asyncio.run(play())


def test_a_client_that_disconnects_during_prefill_frees_the_device_within_a_chunk(
    tiny_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CHUNK_TOKENS, device_info().backend, 16)

    async def play() -> None:
        engine = await start_engine(tiny_folder)
        level = mx.get_active_memory()
        async with aclosing(engine.generate(user_request("word " * 1500, 100))) as events:
            await anext(events)
            await until(lambda: holds_kv(engine))
        assert engine.num_active == 0
        await assert_memory_is_released(engine)
        assert mx.get_active_memory() <= level + 2**20
        assert (await answer(engine, user_request("Hello")))[1].usage.output_tokens > 0
        await engine.aclose()

    asyncio.run(play())


def test_requests_wait_for_memory_and_are_all_answered(tiny_folder: ModelFolder) -> None:
    """There is room for two of the seven."""

    async def play() -> None:
        engine = await start_engine(tiny_folder)
        one = 256 * parts_of(engine).plan.sizes.bytes_per_token
        memory_of(engine).capacity_bytes = memory_of(engine).reserved_bytes() + 2 * one
        answers = await asyncio.gather(*(answer(engine, user_request(f"Hello {number}")) for number in range(7)))
        assert len(answers) == 7
        assert memory_of(engine).usage().peak_bytes > 0
        await assert_memory_is_released(engine)
        await engine.aclose()

    asyncio.run(play())


def test_a_full_queue_refuses_the_next_request(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        engine = await start_engine(tiny_folder, EngineOptions(max_batch_size=1, max_queued=1))
        async with (
            aclosing(engine.generate(user_request("a", 500))) as first,
            aclosing(engine.generate(user_request("b"))) as second,
        ):
            await anext(first)
            await anext(second)
            assert not await engine.can_admit()
            with pytest.raises(OverloadedError) as caught:
                await anext(engine.generate(user_request("c")))
            assert 0 < caught.value.retry_after_seconds <= 60
        assert (await answer(engine, user_request("c")))[1].usage.output_tokens > 0
        await engine.aclose()

    asyncio.run(play())


def test_a_finished_answer_that_is_not_read_holds_no_place(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        engine = await start_engine(tiny_folder, EngineOptions(max_batch_size=1, max_queued=0))
        async with aclosing(engine.generate(user_request("a", 2))) as unread:
            await anext(unread)
            assert not await engine.can_admit()
            while not await engine.can_admit():  # noqa: ASYNC110 - it happens on another thread
                await asyncio.sleep(0.005)
            assert (await answer(engine, user_request("b", 2)))[1].usage.output_tokens > 0
            assert engine.num_active == 1
            assert isinstance([event async for event in unread][-1], GenerationFinished)
        await engine.aclose()

    asyncio.run(play())


def test_a_failed_step_fails_its_requests_but_not_later_ones(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with make_engine() as engine:
            async with aclosing(engine.generate(user_request("Hello", 500))) as events:
                await anext(events)
                await until(lambda: holds_kv(engine))
                monkeypatch.setattr(batch_of(engine), "step", _failing)
                with pytest.raises(GenerationError):
                    async for _ in events:
                        pass
            await assert_memory_is_released(engine)
            assert (await answer(engine, user_request("Hello")))[1].usage.output_tokens > 0

    asyncio.run(play())


def _failing(*_: Any) -> Any:
    raise RuntimeError("planted")


def test_a_token_that_cannot_be_decoded_fails_only_its_own_request(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with make_engine() as engine, aclosing(engine.generate(user_request("Hello", 500))) as broken:
            new_output = batch_of(engine).new_output

            def new_broken_output(prompt: Any, progress: Any) -> Output:
                output = new_output(prompt, progress)
                if prompt.request.max_tokens == 500:
                    monkeypatch.setattr(output, "push", _failing)
                return output

            monkeypatch.setattr(batch_of(engine), "new_output", new_broken_output)
            await anext(broken)
            text, _ = await answer(engine, user_request("Hello there"))
            assert text
            with pytest.raises(GenerationError):
                async for _ in broken:
                    pass

    asyncio.run(play())


def test_closing_ends_open_streams_with_an_error(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        engine = await start_engine(tiny_folder)
        async with aclosing(engine.generate(user_request("Hello", 1000))) as events:
            await anext(events)
            closing = asyncio.create_task(engine.aclose())
            with pytest.raises(GenerationError, match="stopping"):
                async for _ in events:
                    pass
            await closing
        assert memory_of(engine).reserved_bytes() == 0

    asyncio.run(play())


def test_closing_frees_the_weights(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        level = mx.get_active_memory()
        engine = await start_engine(tiny_folder)
        assert mx.get_active_memory() > level + 2**20
        assert (await engine.memory_usage()).model_weights_bytes > 2**20
        await answer(engine, user_request("Hello"))
        await engine.aclose()
        assert mx.get_active_memory() <= level + 2**16

    asyncio.run(play())


def test_a_failed_load_leaves_no_memory_reserved(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        memory = DeviceMemory(1000)
        monitor = SlidingWindowMonitor(memory.usage)
        with pytest.raises(InsufficientMemoryError):
            await Engine.start(tiny_folder, memory, monitor)
        nowhere = ModelFolder(tiny_folder.path / "nowhere", "nowhere", "nowhere", tiny_folder.created_at)
        with pytest.raises(ModelLoadingError):
            await Engine.start(nowhere, memory, monitor)
        assert memory.reserved_bytes() == 0

    asyncio.run(play())


def test_records_are_made_at_the_start_every_ten_tokens_and_at_the_end(tiny_folder: ModelFolder) -> None:
    async def play() -> list[OperationMetrics]:
        records: list[OperationMetrics] = []
        memory = DeviceMemory(4 * GIB)
        monitor = SlidingWindowMonitor(memory.usage)
        original = monitor.record_operation

        def watch(operation: OperationMetrics) -> None:
            records.append(operation)
            original(operation)

        monitor.record_operation = watch  # type: ignore[method-assign]  # it also calls the original
        engine = await Engine.start(tiny_folder, memory, monitor)
        await answer(engine, user_request("Hello", 25))
        async with aclosing(engine.generate(user_request("Hello", 1000))) as events:
            await anext(events)
        await until(lambda: records[-1].phase is OperationPhase.CANCELLED)
        await engine.aclose()
        return records

    records = asyncio.run(play())
    finished = records[: [record.phase for record in records].index(OperationPhase.COMPLETED) + 1]
    assert [record.phase for record in finished] == [
        OperationPhase.STARTED,
        OperationPhase.PROGRESS,
        OperationPhase.PROGRESS,
        OperationPhase.COMPLETED,
    ]
    assert [record.tokens_generated for record in finished] == [0, 10, 20, 25]
    assert finished[-1].success
    assert finished[-1].time_to_first_token_ms is not None
    assert not records[-1].success


def test_features_come_from_the_model(make_engine: MakeEngine) -> None:
    async def play() -> None:
        async with make_engine() as engine:
            assert await engine.supports_feature(ModelFeature.STREAMING)
            assert await engine.supports_feature(ModelFeature.TOOL_CALLING)
            assert not await engine.supports_feature(ModelFeature.FUNCTION_CALLING)

    asyncio.run(play())
