"""The store returns what was inserted, never exceeds its limit, and reports why a match ends."""

from __future__ import annotations

import gc
import random
import threading
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.engine.kv.segments import bytes_per_token
from pensieve.engine.prompt_cache.match import MissReason
from pensieve.engine.prompt_cache.null_store import NullStore
from pensieve.engine.prompt_cache.store import KVStore
from pensieve.models.loading.load import LoadedModel
from tests.engine.support.tiny_modules import (
    WHOLE_KINDS,
    WINDOW,
    arrays_of,
    assert_close,
    assert_same,
    continuation,
    generated,
    new_caches,
    prefill,
    prompt,
    tiny_module,
)

MIB = 1 << 20


@pytest.fixture(scope="module")
def llama() -> LoadedModel:
    return tiny_module("llama")


def store_with(model: LoadedModel, *prompts: list[int], limit_bytes: int = 100 * MIB) -> KVStore:
    store = KVStore(model, limit_bytes=limit_bytes)
    for each in prompts:
        store.insert(each, prefill(model, each))
    store.check()
    return store


def token_bytes(model: LoadedModel) -> int:
    return bytes_per_token(prefill(model, [1]))


@pytest.mark.parametrize("kind", ["llama", *WHOLE_KINDS])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=str)
def test_a_match_generates_the_same_as_the_inserted_caches(kind: str, dtype: mx.Dtype) -> None:
    model = tiny_module(kind, dtype=dtype)
    whole = prompt(2 * WINDOW + 9)
    caches = prefill(model, whole[:-1])
    store = KVStore(model, limit_bytes=100 * MIB)
    assert store.insert(whole[:-1], caches) == len(whole) - 1
    match = store.match(whole)
    assert match.num_tokens == len(whole) - 1 == store.cached_tokens(whole)
    assert match.caches is not None
    assert_same(match.caches, caches)
    assert generated(model, whole, match.caches, match.num_tokens) == generated(model, whole, caches, match.num_tokens)
    again = store.match(whole).caches
    assert again is not None
    assert_close(again, prefill(model, whole[:-1]))  # decoding has not changed the stored arrays


def test_the_last_token_is_always_left_to_evaluate(llama: LoadedModel) -> None:
    store = store_with(llama, prompt(20))
    match = store.match(prompt(20))
    assert (match.num_tokens, match.reason) == (19, MissReason.NONE)
    assert store.match(prompt(20)[:1]).reason is MissReason.NONE
    assert store.match([]).num_tokens == store.cached_tokens([]) == 0


@pytest.mark.parametrize("kind", ["llama", "mamba2"])
def test_a_match_reports_why_it_ends(kind: str) -> None:
    model = tiny_module(kind)
    assert KVStore(model, limit_bytes=MIB).match(prompt(20)).reason is MissReason.EMPTY
    store = store_with(model, prompt(10), prompt(20))
    assert store.match([*prompt(20), 1, 2]).reason is MissReason.ENDS
    assert store.match([*prompt(20), 1]).reason is MissReason.NONE
    assert store.match([*prompt(15), 127, 127, 127]).reason is MissReason.DIFFERS
    assert store.match(prompt(20, seed=1)).reason in {MissReason.DIFFERS, MissReason.ENDS}


def test_caches_that_hold_more_than_the_prompt_are_cut(llama: LoadedModel) -> None:
    caches = prefill(llama, prompt(30))
    store = KVStore(llama, limit_bytes=MIB)
    assert store.insert(prompt(30)[:20], caches) == 20
    assert store.match(prompt(30)).num_tokens == 20
    assert store.insert([*prompt(30), 1, 2, 3], caches) == 10  # only as many as the caches hold
    assert store.insert([1, 2], new_caches(llama)) == 0
    store.check()


def test_a_snapshot_of_other_tokens_is_not_inserted() -> None:
    model = tiny_module("gemma3_text")
    store = KVStore(model, limit_bytes=MIB)
    longer = prefill(model, prompt(WINDOW + 9))
    assert store.insert(prompt(WINDOW + 9)[:-5], longer) == 0
    assert store.insert([*prompt(WINDOW + 9), 1], longer) == 0
    short = prefill(model, prompt(WINDOW - 5))
    assert store.insert(prompt(WINDOW - 5)[:10], short) == 10
    match = store.match(prompt(WINDOW - 5))
    assert match.caches is not None
    assert continuation(model, match.caches, 5) == continuation(model, prefill(model, prompt(10)), 5)


def test_a_shared_prefix_is_stored_once(llama: LoadedModel) -> None:
    system = prompt(1000)
    store = KVStore(llama, limit_bytes=100 * MIB)
    base = store.insert(system, prefill(llama, system), [Boundary(1000, BoundaryKind.SYSTEM)])
    one_system = store.num_bytes
    before = mx.get_active_memory()
    for seed in range(1, 9):
        whole = [*system, *prompt(50, seed)]
        match = store.match(whole)
        assert match.num_tokens in {1000, 1001}  # two prompts may share their first token
        store.insert(whole, prefill(llama, whole[match.num_tokens :], match.caches))
        del match
    assert base == 1000
    assert store.num_bytes <= one_system + 8 * 50 * token_bytes(llama)
    assert mx.get_active_memory() - before < one_system
    store.check()


def test_the_beginning_of_a_prompt_over_the_limit_is_kept(llama: LoadedModel) -> None:
    """A long conversation is worth more than what it evicts: its next turn computes only the rest."""
    limit = 100 * token_bytes(llama)
    store = store_with(llama, prompt(60), limit_bytes=limit)
    store.insert(prompt(150, seed=1), prefill(llama, prompt(150, seed=1)))
    assert store.cached_tokens(prompt(150, seed=1)) == 100
    assert store.num_bytes <= limit
    store.check()


def test_a_branch_that_fills_the_limit_evicts_the_other_one(llama: LoadedModel) -> None:
    store = store_with(llama, prompt(90), limit_bytes=100 * token_bytes(llama))
    branch = [*prompt(10), *prompt(85, seed=3)]
    store.insert(branch, prefill(llama, branch))
    store.check()
    assert store.cached_tokens([*branch, 1]) == 95


def test_system_prefixes_and_unexpired_breakpoints_are_evicted_last(llama: LoadedModel) -> None:
    now = [0.0]
    store = KVStore(llama, limit_bytes=200 * token_bytes(llama), clock=lambda: now[0])
    system, marked = prompt(50, seed=1), prompt(50, seed=2)
    store.insert(system, prefill(llama, system), [Boundary(40, BoundaryKind.SYSTEM)])
    store.insert(marked, prefill(llama, marked), [Boundary(30, BoundaryKind.BREAKPOINT, 300)])
    for seed in range(3, 9):
        store.insert(prompt(60, seed), prefill(llama, prompt(60, seed)))
        store.check()
    assert (store.cached_tokens(system), store.cached_tokens(marked)) == (40, 30)
    now[0] = 301.0
    store.insert(prompt(155, seed=9), prefill(llama, prompt(155, seed=9)))
    assert (store.cached_tokens(system), store.cached_tokens(marked) < 5) == (40, True)


def test_a_lower_limit_evicts_at_once_and_shrink_returns_the_bytes_freed(llama: LoadedModel) -> None:
    store = store_with(llama, *(prompt(50, seed) for seed in range(6)))
    before = store.num_bytes
    freed = store.shrink(1000)
    assert freed >= 1000
    assert store.num_bytes == before - freed
    store.limit_bytes = 60 * token_bytes(llama)
    store.check()
    store.limit_bytes = 0
    assert (store.num_bytes, store.cached_tokens(prompt(50, 5)), store.shrink(1)) == (0, 0, 0)
    store.check()


def test_closing_frees_the_memory(llama: LoadedModel) -> None:
    gc.collect()  # so that garbage of other tests is not freed in between
    before = mx.get_active_memory()
    store = store_with(llama, *(prompt(2000, seed) for seed in range(3)))
    assert mx.get_active_memory() - before >= store.num_bytes
    store.close(1.0)
    assert mx.get_active_memory() - before < 100_000


def test_other_threads_may_look_up_prompts_meanwhile(llama: LoadedModel) -> None:
    store = store_with(llama, prompt(100), limit_bytes=300 * token_bytes(llama))
    stop, failures = threading.Event(), []

    def look_up() -> None:
        while not stop.is_set():
            if store.cached_tokens(prompt(100)) not in range(100):
                failures.append(1)

    other = threading.Thread(target=look_up)
    other.start()
    for seed in range(10):
        store.insert(prompt(90, seed), prefill(llama, prompt(90, seed)))
    stop.set()
    other.join()
    assert not failures


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "lfm2"])
def test_twenty_interleaved_conversations_under_a_limit(kind: str) -> None:
    """Every match has exactly the arrays that were inserted for its prefix."""
    model, chance = tiny_module(kind), random.Random(0)  # noqa: S311
    system = prompt(64, seed=99)
    conversations = [[*system, *prompt(20, seed)] for seed in range(20)]
    alone = arrays_bytes(prefill(model, conversations[0])) * (8 if kind == "llama" else 12)
    store = KVStore(model, limit_bytes=alone)
    inserted: dict[tuple[int, ...], list[np.ndarray[Any, Any]]] = {}
    hits = misses = 0
    for _ in range(80):
        conversation = chance.choice(conversations)
        match = store.match(conversation)
        hits, misses = hits + (match.num_tokens > 64), misses + (match.num_tokens <= 64)
        if match.caches is not None:
            expected = inserted.get(tuple(conversation[: match.num_tokens]))
            if expected is not None:
                assert all(np.array_equal(a, b) for a, b in zip(arrays_of(match.caches), expected, strict=True))
            assert expected is not None or kind == "llama"
        caches = prefill(model, conversation[match.num_tokens :], match.caches)
        remember(inserted, kind, conversation, caches)
        store.insert(conversation, caches, [Boundary(64, BoundaryKind.SYSTEM)])
        store.check()
        assert store.num_bytes <= alone
        conversation += prompt(chance.randrange(1, 12), chance.randrange(1000))
    assert hits > 10
    assert misses > 10


def arrays_bytes(caches: list[Any]) -> int:
    return sum(array.nbytes for array in arrays_of(caches))


def remember(
    inserted: dict[tuple[int, ...], list[np.ndarray[Any, Any]]], kind: str, token_ids: list[int], caches: list[Any]
) -> None:
    """Keep what a match must return: the first arrays of each segment, or the snapshot of the whole prompt."""
    arrays = arrays_of(caches)
    if kind != "llama":
        inserted.setdefault(tuple(token_ids), arrays)
        return
    for length in range(1, len(token_ids) + 1):
        inserted[tuple(token_ids[:length])] = [array[:, :, :length] for array in arrays]


def test_a_null_store_never_matches(llama: LoadedModel) -> None:
    store = NullStore()
    assert store.insert(prompt(5), prefill(llama, prompt(5))) == 0
    assert (
        store.match(prompt(5)).num_tokens == store.cached_tokens(prompt(5)) == store.shrink(5) == store.num_bytes == 0
    )
    assert not store.needs_snapshots
    store.note_prefill(1, 1.0)
    store.close(1.0)
