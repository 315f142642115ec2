"""When memory runs short, it is freed step by step, and every step is undone afterwards (G-R2)."""

from __future__ import annotations

import gc
import logging
import resource
import time
from collections.abc import Iterator

import mlx.core as mx
import psutil
import pytest

from contracts.values.measurements import AlertType, PressureStep
from contracts.values.vocabulary import BufferUsage
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.memory.pressure import MIN_CHUNK_TOKENS, PressureRelief
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.prompt_cache.null_store import NullStore
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.prompt_cache.store import KVStore
from tests.engine.support.tiny_modules import prompt, random_rows, tiny_module

MB = 1_000_000
SPAN = 100 * MB
"""The memory that a test may use beyond what is in use when it begins."""


@pytest.fixture
def memory() -> Iterator[DeviceMemory]:
    gc.collect()  # so that models of earlier tests are not freed during this one
    mx.clear_cache()
    before = DeviceMemory(SPAN).in_use_bytes
    memory = DeviceMemory(before + SPAN)
    if before:
        memory.reserve(before, BufferUsage.MODEL_WEIGHTS)
    yield memory
    mx.clear_cache()


class Clock:
    """Advances by a second at each call."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def allocate(num_bytes: int) -> mx.array:
    array = mx.zeros(num_bytes, mx.uint8)
    mx.eval(array)
    return array


def filled_store(memory: DeviceMemory) -> PromptCache:
    """20 MB of prompts."""
    prompt_cache = PromptCache(memory, KVStore(tiny_module("llama"), limit_bytes=60 * MB))
    for seed in range(10):
        prompt_cache.keep(prompt(4000, seed), random_rows(4000))
    mx.clear_cache()
    return prompt_cache


def test_unused_buffers_are_freed_first_and_that_may_suffice(memory: DeviceMemory) -> None:
    relief = PressureRelief(memory, PromptCache(memory, NullStore()), chunk_tokens=128, clock=Clock())
    relief.update()
    assert not relief.state.active
    held = allocate(68 * MB)
    unused = allocate(18 * MB)
    del unused
    assert memory.in_use_bytes > 0.8 * SPAN, "MLX keeps the buffer"
    relief.update()
    assert relief.state.active == (PressureStep.RECLAIM_BUFFERS,)
    assert memory.in_use_bytes < 0.7 * SPAN + memory.lasting_bytes
    del held
    relief.update()
    assert not relief.state.active
    assert relief.state.times[PressureStep.RECLAIM_BUFFERS] == 1


def test_cached_prompts_are_evicted_next_and_the_cache_does_not_grow_until_memory_is_free(memory: DeviceMemory) -> None:
    prompt_cache = filled_store(memory)
    before = prompt_cache.num_bytes
    relief = PressureRelief(memory, prompt_cache, chunk_tokens=128, clock=Clock())
    held = allocate(70 * MB)
    relief.update()
    assert PressureStep.SHRINK_STORE in relief.state.active
    assert prompt_cache.num_bytes < before
    assert memory.reserved_bytes(BufferUsage.STORED_PROMPTS) == prompt_cache.num_bytes
    left = prompt_cache.num_bytes
    prompt_cache.keep(prompt(4000, 77), random_rows(4000))
    assert prompt_cache.num_bytes <= left
    del held
    for _ in range(4):
        relief.update()
    assert relief.state.active == ()
    prompt_cache.keep(prompt(4000, 78), random_rows(4000))
    assert prompt_cache.num_bytes > left


def test_chunks_shrink_to_a_minimum_then_requests_are_refused_and_all_is_undone(
    memory: DeviceMemory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monitor = SlidingWindowMonitor(memory.usage)
    relief = PressureRelief(memory, PromptCache(memory, NullStore()), chunk_tokens=128, clock=Clock())
    held = allocate(95 * MB)
    chunks = []
    for _ in range(4):
        relief.update()
        chunks.append(relief.chunk_tokens)
    assert chunks == [64, MIN_CHUNK_TOKENS, MIN_CHUNK_TOKENS, MIN_CHUNK_TOKENS]
    assert relief.refuses
    assert [alert.alert_type for alert in monitor.performance_alerts()] == [AlertType.HIGH_MEMORY_USAGE]
    del held
    for _ in range(8):
        relief.update()
    assert (relief.chunk_tokens, relief.refuses, relief.state.active) == (128, False, ())
    messages = [record.getMessage() for record in caplog.records]
    assert any("memory is short" in line for line in messages)
    assert any(line.startswith("prefill chunks shrunk: ") and "64 tokens" in line for line in messages)
    assert relief.state.times[PressureStep.SHRINK_CHUNKS] == 2
    assert messages[-1].startswith("memory is no longer short")


def test_weights_that_fill_most_of_the_limit_are_not_pressure(memory: DeviceMemory) -> None:
    """Weights stay, so anything freed because of them would never be allowed back."""
    held = allocate(85 * MB)
    memory.reserve(85 * MB, BufferUsage.MODEL_WEIGHTS)
    relief = PressureRelief(memory, PromptCache(memory, NullStore()), chunk_tokens=128, clock=Clock())
    relief.update()
    assert relief.state.active == ()
    del held


def test_the_alert_fires_and_clears() -> None:
    """The alert threshold is 80 % of the limit, as the allocator measures it."""
    mx.clear_cache()
    held = allocate(90 * MB)
    memory = DeviceMemory(int(memory_in_use() / 0.85))
    monitor = SlidingWindowMonitor(memory.usage)
    fired = [alert.alert_type for alert in monitor.performance_alerts()]
    assert fired == [AlertType.HIGH_MEMORY_USAGE]
    del held
    assert memory.usage().total_bytes <= 0.8 * memory.capacity_bytes
    assert monitor.performance_alerts() == ()


def memory_in_use() -> int:
    return int(mx.get_active_memory())


def test_the_system_is_queried_four_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every generation step checks the memory, and a system query takes a hundredth of a step."""
    memory = DeviceMemory(12_000 * MB, counts_process=True)
    memory.reserve_for_process()
    num_queries, query = 0, psutil.virtual_memory

    def counted() -> object:
        nonlocal num_queries
        num_queries += 1
        return query()

    monkeypatch.setattr(psutil, "virtual_memory", counted)
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(100):
        assert not memory.machine_is_short
    assert num_queries == 1
    now += 0.3
    assert not memory.machine_is_short
    assert num_queries == 2


def test_a_query_without_a_file_descriptor_changes_nothing() -> None:
    memory = DeviceMemory(12_000 * MB, counts_process=True)
    memory.reserve_for_process()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        assert not memory.machine_is_short
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_system_is_queried_again_after_buffers_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise chunks would shrink and requests be refused although memory is free again."""
    memory = DeviceMemory(12_000 * MB, counts_process=True)
    memory.reserve_for_process()
    machine = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine._replace(available=0))
    assert memory.machine_is_short
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    memory.reclaim()
    assert not memory.machine_is_short
