"""Cached prompts and running requests share one memory limit (S7, C2)."""

from __future__ import annotations

import mlx.core as mx
import pytest

from contracts.values.vocabulary import BufferUsage
from pensieve.core.errors import InsufficientMemoryError
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.prompt_cache.store import KVStore
from tests.engine.support.tiny_modules import continuation, prefill, prompt, random_rows, tiny_module
from tests.support.engines import GIB

MIB = 1024**2


def cache_with(memory: DeviceMemory, num_prompts: int, num_tokens: int) -> tuple[PromptCache, int]:
    """A cache of prompts with seeds 0, 1, …, and the bytes of one prompt."""
    model = tiny_module("llama")
    prompt_cache = PromptCache(memory, KVStore(model, limit_bytes=64 * MIB))
    for seed in range(num_prompts):
        token_ids = prompt(num_tokens, seed)
        assert prompt_cache.keep(token_ids, prefill(model, token_ids))
    return prompt_cache, prompt_cache.num_bytes // num_prompts


def test_a_request_evicts_cached_prompts_and_its_own_prompt_last() -> None:
    memory = DeviceMemory(GIB)
    prompt_cache, one = cache_with(memory, 4, 512)
    memory.capacity_bytes = memory.reserved_bytes() + one // 2
    reservation, match = prompt_cache.admit([*prompt(512, 0), 1], 2 * one)
    assert match.num_tokens == 512
    assert reservation.num_bytes == 2 * one
    assert prompt_cache.cached_tokens([*prompt(512, 0), 1]) == 512, "the others were evicted, although it is the oldest"
    assert prompt_cache.num_bytes == memory.reserved_bytes(BufferUsage.STORED_PROMPTS) == 2 * one
    assert memory.reserved_bytes() <= memory.capacity_bytes


def test_a_prompt_too_large_to_be_in_memory_twice_is_moved_out_and_comes_back() -> None:
    """A conversation that fills the memory is not recomputed at every turn."""
    memory = DeviceMemory(GIB)
    model = tiny_module("llama")
    prompt_cache, one = cache_with(memory, 1, 2048)
    memory.capacity_bytes = int(1.5 * one)
    token_ids = [*prompt(2048, 0), 1]
    reservation, match = prompt_cache.admit(token_ids, int(1.3 * one))
    assert match.num_tokens == 2048
    assert prompt_cache.num_bytes == 0
    assert match.caches is not None
    tokens = continuation(model, match.caches, 1)
    assert tokens == continuation(model, prefill(model, prompt(2048, 0)), 1)
    memory.release(reservation)
    assert prompt_cache.keep(token_ids, match.caches, move=True)
    assert all(not row.arrays for row in match.caches), "the stored arrays are not in memory twice"
    assert prompt_cache.cached_tokens([*token_ids, 5]) == 2049


def test_a_request_that_cannot_fit_evicts_nothing() -> None:
    memory = DeviceMemory(GIB)
    prompt_cache, one = cache_with(memory, 2, 512)
    memory.capacity_bytes = 3 * one
    other = memory.reserve(one, BufferUsage.KV_CACHE)
    with pytest.raises(InsufficientMemoryError):
        prompt_cache.admit(prompt(512, 9), int(2.5 * one))
    assert prompt_cache.num_bytes == 2 * one
    memory.release(other)
    prompt_cache.admit(prompt(512, 9), int(2.5 * one))


def test_moving_caches_into_the_store_takes_no_more_than_one_extra_layer() -> None:
    memory = DeviceMemory(GIB)
    model, token_ids, rows = tiny_module("llama"), prompt(20_000, 0), random_rows(20_000)
    prompt_cache = PromptCache(memory, KVStore(model, limit_bytes=256 * MIB))
    layer = rows[0].nbytes
    before = mx.get_active_memory()
    with memory.measured_peak() as peak:
        assert prompt_cache.keep(token_ids, rows, move=True)
    assert peak.bytes - before < 1.5 * layer
