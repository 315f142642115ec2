"""What is stored of prompts and what requests take, under one limit (S7, C2)."""

from __future__ import annotations

import mlx.core as mx
import pytest

from contracts.values.vocabulary import BufferUsage
from pensieve.core.errors import InsufficientMemoryError
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.prompt_cache.store import KVStore
from tests.engine.support.tiny_modules import continuation, made_up_rows, prefill, prompt, tiny_module
from tests.support.engines import GIB

MIB = 1024**2


def stored_with(memory: DeviceMemory, num_prompts: int, num_tokens: int) -> tuple[PromptCache, int]:
    """A store that holds prompts of so many tokens, by seed; and the bytes of one."""
    model = tiny_module("llama")
    stored = PromptCache(memory, KVStore(model, limit_bytes=64 * MIB))
    for seed in range(num_prompts):
        token_ids = prompt(num_tokens, seed)
        assert stored.keep(token_ids, prefill(model, token_ids))
    return stored, stored.num_bytes // num_prompts


def test_what_is_stored_gives_way_to_a_request_and_its_own_prompt_goes_last() -> None:
    memory = DeviceMemory(GIB)
    stored, one = stored_with(memory, 4, 512)
    memory.capacity_bytes = memory.reserved_bytes() + one // 2
    reservation, match = stored.admit([*prompt(512, 0), 1], 2 * one)
    assert match.num_tokens == 512
    assert reservation.num_bytes == 2 * one
    assert stored.cached_tokens([*prompt(512, 0), 1]) == 512, "the others went, though it was the oldest"
    assert stored.num_bytes == memory.reserved_bytes(BufferUsage.STORED_PROMPTS) == 2 * one
    assert memory.reserved_bytes() <= memory.capacity_bytes


def test_a_prompt_that_cannot_be_there_twice_is_taken_out_and_comes_back() -> None:
    """A conversation that fills the memory is not computed anew at every turn."""
    memory = DeviceMemory(GIB)
    model = tiny_module("llama")
    stored, one = stored_with(memory, 1, 2048)
    memory.capacity_bytes = int(1.5 * one)
    token_ids = [*prompt(2048, 0), 1]
    reservation, match = stored.admit(token_ids, int(1.3 * one))
    assert match.num_tokens == 2048
    assert stored.num_bytes == 0
    assert match.caches is not None
    said = continuation(model, match.caches, 1)
    assert said == continuation(model, prefill(model, prompt(2048, 0)), 1)
    memory.release(reservation)
    assert stored.keep(token_ids, match.caches, move=True)
    assert all(not row.arrays for row in match.caches), "what was stored is not there twice"
    assert stored.cached_tokens([*token_ids, 5]) == 2049


def test_a_request_that_finds_no_room_costs_nobody_what_is_stored() -> None:
    memory = DeviceMemory(GIB)
    stored, one = stored_with(memory, 2, 512)
    memory.capacity_bytes = 3 * one
    other = memory.reserve(one, BufferUsage.KV_CACHE)
    with pytest.raises(InsufficientMemoryError):
        stored.admit(prompt(512, 9), int(2.5 * one))
    assert stored.num_bytes == 2 * one
    memory.release(other)
    stored.admit(prompt(512, 9), int(2.5 * one))


def test_storing_what_nobody_else_has_takes_no_more_than_a_layer_besides() -> None:
    memory = DeviceMemory(GIB)
    model, token_ids, rows = tiny_module("llama"), prompt(20_000, 0), made_up_rows(20_000)
    stored = PromptCache(memory, KVStore(model, limit_bytes=256 * MIB))
    layer = rows[0].nbytes
    before = mx.get_active_memory()
    with memory.measured_peak() as peak:
        assert stored.keep(token_ids, rows, move=True)
    assert peak.bytes - before < 1.5 * layer
