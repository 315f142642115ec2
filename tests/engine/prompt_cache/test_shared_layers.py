"""The states of a prompt share what those layers hold that can be cut: it is stored once, and freed with the last."""

from __future__ import annotations

import gc

import mlx.core as mx
import pytest

from pensieve.engine.kv.separation import Separated
from pensieve.engine.kv.snapshots import Snapshot
from pensieve.engine.prompt_cache.store import KVStore
from tests.engine.support.tiny_modules import continuation, prefill, prompt, tiny_module

ENDS = (400, 700, 1000, 1200)


@pytest.mark.parametrize("kind", ["gemma3_text", "lfm2", "falcon_h1"])
def test_states_of_a_prompt_and_its_branches_share_segments(kind: str) -> None:
    model, whole = tiny_module(kind), prompt(1200)
    gc.collect()
    before = mx.get_active_memory()
    store, caches, state_bytes = KVStore(model, limit_bytes=1 << 30), None, 0
    for start, end in zip((0, *ENDS), ENDS, strict=False):
        caches = prefill(model, whole[start:end], caches)
        assert store.insert(whole[:end], caches) == end - start
        state_bytes += Snapshot.of(Separated.of(caches).others).num_bytes
    assert caches is not None
    per_token = Separated.of(caches).bytes_per_token
    assert store.num_bytes == state_bytes + 1200 * per_token
    store.check()
    caches = None
    gc.collect()
    assert mx.get_active_memory() - before < 1.5 * store.num_bytes  # MLX rounds small arrays up

    branch = [*whole[:800], *prompt(100, seed=1)]
    match = store.match(branch)
    assert match.num_tokens == 700
    own = prefill(model, branch[700:], match.caches)
    store.insert(branch, own)
    state_bytes += Snapshot.of(Separated.of(own).others).num_bytes
    assert store.num_bytes == state_bytes + (1200 + 100) * per_token
    store.check()
    for token_ids in (*(whole[:end] for end in ENDS), branch):
        found = store.match([*token_ids, 1])
        assert (found.num_tokens, found.caches is not None) == (len(token_ids), True)
        assert continuation(model, found.caches or [], 5) == continuation(model, prefill(model, token_ids), 5)
    while store.num_bytes:
        assert store.shrink(1) > 0
        store.check()
