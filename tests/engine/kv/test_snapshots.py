"""Segments and snapshots hold what the caches held, and later changes to the caches do not affect them."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from pensieve.engine.kv.blocks import HostArray, KVBlock
from pensieve.engine.kv.segments import KVSegment, bytes_per_token, join
from pensieve.engine.kv.snapshots import Snapshot, has_growing_layout, num_cached_tokens, trimmed
from tests.engine.support.tiny_modules import (
    WHOLE_KINDS,
    WINDOW,
    arrays_of,
    assert_same,
    continuation,
    new_caches,
    prefill,
    prompt,
    tiny_module,
)

from mlx_lm.models.cache import ArraysCache, KVCache  # isort: skip - tiny_modules has imported mlx-lm with care


def block(host: tuple[Any, list[HostArray]], num_tokens: int) -> KVBlock:
    return KVBlock("model", "00" * 32, np.zeros(num_tokens, np.uint32), *host)


def test_only_plain_caches_can_be_cut() -> None:
    assert has_growing_layout(new_caches(tiny_module("llama")))
    assert not any(has_growing_layout(new_caches(tiny_module(kind))) for kind in WHOLE_KINDS)
    assert not has_growing_layout([])


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
def test_segments_cut_anywhere_join_to_the_original(dtype: mx.Dtype) -> None:
    model = tiny_module("llama", dtype=dtype)
    caches = prefill(model, prompt(70))
    whole = KVSegment.of(caches, 0, 70)
    head, tail = whole.split(33)
    middle, end = tail.split(5)
    assert head.num_bytes + middle.num_bytes + end.num_bytes == whole.num_bytes == bytes_per_token(caches) * 70
    assert_same(join([head, middle, end], 70), caches)
    shorter = join([head, middle, end], 50)
    assert num_cached_tokens(shorter) == 50
    caches = [cache for cache in caches if cache.trim(20)]
    assert_same(shorter, caches)


def test_joined_caches_continue_like_the_originals() -> None:
    model = tiny_module("llama")
    caches = prefill(model, prompt(300))
    head, tail = KVSegment.of(caches, 0, 300).split(100)
    before = arrays_of(join([head, tail], 300))
    made = join([head, tail], 300)
    alone = join([head], 100)
    assert continuation(model, made, 5) == continuation(model, caches, 5)
    continuation(model, alone, 5)
    after = arrays_of(join([head, tail], 300))
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_segment_does_not_keep_the_original_alive() -> None:
    model = tiny_module("llama")
    caches = prefill(model, prompt(4096))
    before = mx.get_active_memory()
    part = KVSegment.of(caches, 10, 20)
    head, _ = part.split(3)
    del part, caches, _
    assert mx.get_active_memory() < before - 4000 * head.num_bytes // 3


@pytest.mark.parametrize("kind", WHOLE_KINDS)
@pytest.mark.parametrize("num_tokens", [WINDOW - 7, 2 * WINDOW + 5])
def test_a_snapshot_continues_like_its_caches_and_stays_unchanged(kind: str, num_tokens: int) -> None:
    model = tiny_module(kind)
    caches = prefill(model, prompt(num_tokens))
    snapshot = Snapshot.of(caches)
    before = [np.array(array) for array in arrays_of(snapshot.caches())]
    expected = continuation(model, caches, 5)  # continues in the caches that the snapshot refers to
    assert continuation(model, snapshot.caches(), 5) == expected
    assert continuation(model, prefill(model, prompt(9, seed=1), snapshot.caches()), 5) != expected
    assert continuation(model, snapshot.caches(), 5) == expected
    after = arrays_of(snapshot.caches())
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", WHOLE_KINDS)
def test_a_snapshot_stays_unchanged_when_caches_write_in_place(kind: str) -> None:
    """A rotating cache does so with each token once it is full."""
    model = tiny_module(kind)
    caches = prefill(model, prompt(10))
    continuation(model, caches, 5, num_tokens=WINDOW + 5)
    snapshot = Snapshot.of(caches)
    before = arrays_of(snapshot.caches())
    continuation(model, caches, 5)
    continuation(model, snapshot.caches(), 6)
    after = arrays_of(snapshot.caches())
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", WHOLE_KINDS)
def test_a_snapshot_takes_no_memory_until_a_cache_is_written(kind: str) -> None:
    model = tiny_module(kind)
    caches = prefill(model, prompt(512))
    exact = Snapshot.of(caches).caches()
    before = mx.get_active_memory()
    snapshot = Snapshot.of(exact)
    fetched = snapshot.caches()
    assert mx.get_active_memory() == before
    assert num_cached_tokens(fetched) in {None, 512}


def test_a_snapshot_of_one_row_does_not_keep_its_batch_alive() -> None:
    batch = ArraysCache(1)
    batch[0] = mx.zeros((64, 1000))
    mx.eval(batch[0])
    before = mx.get_active_memory()
    snapshot = Snapshot.of([batch.extract(3)])
    del batch
    assert snapshot.num_bytes == 4000
    assert mx.get_active_memory() < before - 62 * 4000


@pytest.mark.parametrize("kind", WHOLE_KINDS)
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=str)
def test_a_snapshot_is_restored_from_its_bytes(kind: str, dtype: mx.Dtype) -> None:
    model = tiny_module(kind, dtype=dtype)
    snapshot = Snapshot.of(prefill(model, prompt(50)))
    again = Snapshot.from_block(block(snapshot.to_host(), 50))
    assert again.classes == snapshot.classes
    assert_same(again.caches(), snapshot.caches())
    assert continuation(model, again.caches(), 5) == continuation(model, snapshot.caches(), 5)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
def test_a_segment_is_restored_from_its_bytes(dtype: mx.Dtype) -> None:
    caches = prefill(tiny_module("llama", dtype=dtype), prompt(50))
    again = KVSegment.from_block(block(KVSegment.to_host(caches, 10, 50), 40))
    assert again.arrays[0].dtype == dtype
    assert_same(join([KVSegment.of(caches, 0, 10), again], 50), caches)


@pytest.mark.parametrize("form", [None, {}, {"layout": "joined", "more": 1}, {"classes": ["Popen"], "states": []}, [1]])
def test_a_block_with_another_form_is_refused(form: Any) -> None:
    good = block(KVSegment.to_host(prefill(tiny_module("llama"), prompt(8)), 0, 8), 8)
    strange = KVBlock(good.fingerprint, good.parent, good.token_ids, form, good.arrays)
    with pytest.raises(ValueError, match="does not hold keys and values"):
        KVSegment.from_block(strange)
    with pytest.raises(ValueError, match="does not hold a snapshot"):
        Snapshot.from_block(strange)


def test_cache_classes_that_are_not_mlx_lms_are_not_written() -> None:
    class Special(KVCache):  # type: ignore[misc]
        pass

    with pytest.raises(ValueError, match="cannot be stored on disk"):
        Snapshot.of([Special()]).to_host()


def test_caches_are_trimmed_if_possible_and_the_originals_stay_unchanged() -> None:
    model = tiny_module("gemma3_text")
    caches = prefill(model, prompt(WINDOW - 4))
    shorter = trimmed(caches, 10)
    assert shorter is not None
    assert (num_cached_tokens(shorter), num_cached_tokens(caches)) == (WINDOW - 14, WINDOW - 4)
    assert continuation(model, shorter, 5) == continuation(model, prefill(model, prompt(WINDOW - 14)), 5)
    assert trimmed(prefill(model, prompt(WINDOW + 1)), 1) is None
    assert trimmed(prefill(tiny_module("mamba2"), prompt(5)), 1) is None
