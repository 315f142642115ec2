"""Memory that runs short is given back step by step, each seen to help, and all of it undone afterwards (G-R2)."""

from __future__ import annotations

import gc
import logging
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
from tests.engine.support.tiny_modules import made_up_rows, prompt, tiny_module

MB = 1_000_000
SPAN = 100 * MB
"""The limits of these tests lie so far above what is in use when they begin."""


@pytest.fixture
def memory() -> Iterator[DeviceMemory]:
    gc.collect()  # models of earlier tests that are freed during a test would be memory that it gained
    mx.clear_cache()
    before = DeviceMemory(SPAN).in_use_bytes
    memory = DeviceMemory(before + SPAN)
    if before:
        memory.reserve(before, BufferUsage.MODEL_WEIGHTS)
    yield memory
    mx.clear_cache()


class Clock:
    """Time that passes by a second at each look."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def taken(num_bytes: int) -> mx.array:
    array = mx.zeros(num_bytes, mx.uint8)
    mx.eval(array)
    return array


def filled_store(memory: DeviceMemory) -> PromptCache:
    """20 MB of prompts."""
    stored = PromptCache(memory, KVStore(tiny_module("llama"), limit_bytes=60 * MB))
    for seed in range(10):
        stored.keep(prompt(4000, seed), made_up_rows(4000))
    mx.clear_cache()
    return stored


def test_buffers_that_nobody_uses_go_first_and_that_may_be_enough(memory: DeviceMemory) -> None:
    relief = PressureRelief(memory, PromptCache(memory, NullStore()), chunk_tokens=128, clock=Clock())
    relief.look()
    assert not relief.state.active
    held = taken(68 * MB)
    unused = taken(18 * MB)
    del unused
    assert memory.in_use_bytes > 0.8 * SPAN, "MLX keeps the buffer"
    relief.look()
    assert relief.state.active == (PressureStep.RECLAIM_BUFFERS,)
    assert memory.in_use_bytes < 0.7 * SPAN + memory.lasting_bytes
    del held
    relief.look()
    assert not relief.state.active
    assert relief.state.times[PressureStep.RECLAIM_BUFFERS] == 1


def test_stored_prompts_go_next_and_no_more_are_kept_until_memory_is_back(memory: DeviceMemory) -> None:
    stored = filled_store(memory)
    before = stored.num_bytes
    relief = PressureRelief(memory, stored, chunk_tokens=128, clock=Clock())
    held = taken(70 * MB)
    relief.look()
    assert PressureStep.SHRINK_STORE in relief.state.active
    assert stored.num_bytes < before
    assert memory.reserved_bytes(BufferUsage.STORED_PROMPTS) == stored.num_bytes
    left = stored.num_bytes
    stored.keep(prompt(4000, 77), made_up_rows(4000))
    assert stored.num_bytes <= left
    del held
    for _ in range(4):
        relief.look()
    assert relief.state.active == ()
    stored.keep(prompt(4000, 78), made_up_rows(4000))
    assert stored.num_bytes > left


def test_chunks_shrink_to_a_least_then_requests_are_refused_and_all_is_undone(
    memory: DeviceMemory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monitor = SlidingWindowMonitor(memory.usage)
    relief = PressureRelief(memory, PromptCache(memory, NullStore()), chunk_tokens=128, clock=Clock())
    held = taken(95 * MB)
    chunks = []
    for _ in range(4):
        relief.look()
        chunks.append(relief.chunk_tokens)
    assert chunks == [64, MIN_CHUNK_TOKENS, MIN_CHUNK_TOKENS, MIN_CHUNK_TOKENS]
    assert relief.refuses
    assert [alert.alert_type for alert in monitor.performance_alerts()] == [AlertType.HIGH_MEMORY_USAGE]
    del held
    for _ in range(8):
        relief.look()
    assert (relief.chunk_tokens, relief.refuses, relief.state.active) == (128, False, ())
    said = [record.getMessage() for record in caplog.records]
    assert any("memory is short" in line for line in said)
    assert any(line.startswith("prefill chunks shrunk: ") and "64 tokens" in line for line in said)
    assert relief.state.times[PressureStep.SHRINK_CHUNKS] == 2
    assert said[-1].startswith("memory is no longer short")


def test_weights_that_fill_most_of_the_limit_are_no_pressure(memory: DeviceMemory) -> None:
    """They never go away: what is given up for them would be given up for ever."""
    held = taken(85 * MB)
    memory.reserve(85 * MB, BufferUsage.MODEL_WEIGHTS)
    relief = PressureRelief(memory, PromptCache(memory, NullStore()), chunk_tokens=128, clock=Clock())
    relief.look()
    assert relief.state.active == ()
    del held


def test_the_alert_fires_and_clears() -> None:
    """Over 80 % of the limit, as the allocator measures it."""
    mx.clear_cache()
    held = taken(90 * MB)
    memory = DeviceMemory(int(memory_in_use() / 0.85))
    monitor = SlidingWindowMonitor(memory.usage)
    fired = [alert.alert_type for alert in monitor.performance_alerts()]
    assert fired == [AlertType.HIGH_MEMORY_USAGE]
    del held
    assert memory.usage().total_bytes <= 0.8 * memory.capacity_bytes
    assert monitor.performance_alerts() == ()


def memory_in_use() -> int:
    return int(mx.get_active_memory())


def test_the_machine_is_asked_four_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps look at the memory, and reading what the system says takes a hundredth of one."""
    memory = DeviceMemory(12_000 * MB, counts_process=True)
    memory.reserve_for_process()
    num_asked, ask = 0, psutil.virtual_memory

    def asked() -> object:
        nonlocal num_asked
        num_asked += 1
        return ask()

    monkeypatch.setattr(psutil, "virtual_memory", asked)
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(100):
        assert not memory.machine_is_short
    assert num_asked == 1
    now += 0.3
    assert not memory.machine_is_short
    assert num_asked == 2


def test_a_machine_that_was_short_is_asked_again_once_buffers_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else chunks would shrink, and requests be refused, for what is mended already."""
    memory = DeviceMemory(12_000 * MB, counts_process=True)
    memory.reserve_for_process()
    machine = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine._replace(available=0))
    assert memory.machine_is_short
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    memory.reclaim()
    assert not memory.machine_is_short
