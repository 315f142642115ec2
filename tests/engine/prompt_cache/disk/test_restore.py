"""After a restart, prompts are read from disk unchanged, and only if that is faster than computing them."""

from __future__ import annotations

import time
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.engine.prompt_cache.disk.file import SUFFIX
from pensieve.engine.prompt_cache.disk.tier import DiskTier
from pensieve.engine.prompt_cache.disk.transfer import Rate
from pensieve.engine.prompt_cache.match import MissReason
from pensieve.engine.prompt_cache.store import KVStore
from pensieve.models.loading.load import LoadedModel
from tests.engine.support.tiny_modules import (
    WHOLE_KINDS,
    WINDOW,
    arrays_of,
    assert_same,
    continuation,
    generated,
    prefill,
    prompt,
    tiny_module,
)

MIB = 1 << 20


def restarted(model: LoadedModel, folder: Path, *, limit_bytes: int = 100 * MIB) -> KVStore:
    """A store as it is after a restart: an empty memory tier, and the files on disk."""
    return KVStore(model, limit_bytes=limit_bytes, disk=DiskTier(folder, "model", limit_bytes=100 * MIB))


def write_to_disk(model: LoadedModel, folder: Path, *prompts: list[int]) -> None:
    store = restarted(model, folder)
    for each in prompts:
        store.insert(each, prefill(model, each))
    store.close(30.0)


@pytest.mark.parametrize("kind", ["llama", *WHOLE_KINDS])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=str)
def test_a_prompt_is_read_from_disk_after_a_restart_and_is_in_memory_afterwards(
    kind: str, dtype: mx.Dtype, tmp_path: Path
) -> None:
    model, whole = tiny_module(kind, dtype=dtype), prompt(600)
    write_to_disk(model, tmp_path, whole[:-1])
    store = restarted(model, tmp_path)
    assert store.cached_tokens(whole) == 599
    match = store.match(whole)
    assert (match.num_tokens, match.from_disk_tokens, match.reason) == (599, 599, MissReason.NONE)
    assert match.caches is not None
    caches = prefill(model, whole[:-1])
    assert_same(match.caches, caches)
    assert generated(model, whole, match.caches, 599) == generated(model, whole, caches, 599)
    again = store.match(whole)
    assert (again.num_tokens, again.from_disk_tokens) == (599, 0)
    assert again.caches is not None
    assert_same(again.caches, caches)
    store.check()


def test_only_tokens_that_memory_lacks_are_read(tmp_path: Path) -> None:
    model, whole = tiny_module("llama"), prompt(1000)
    write_to_disk(model, tmp_path, whole)
    store = restarted(model, tmp_path)
    store.insert(whole[:300], prefill(model, whole[:300]), [Boundary(100, BoundaryKind.SYSTEM)])
    match = store.match([*whole[:900], 127, 126, 125])
    assert (match.from_disk_tokens, match.num_tokens >= 900) == (match.num_tokens - 300, True)
    assert match.reason is MissReason.DIFFERS
    assert match.caches is not None
    expected = prefill(model, [*whole[:900], 127][: match.num_tokens])  # in other chunks, so it is rounded differently
    pairs = zip(arrays_of(match.caches), arrays_of(expected), strict=True)
    assert all(np.allclose(one, other, atol=1e-4) for one, other in pairs)
    store.check()


def test_a_prompt_is_served_from_disk_even_if_memory_has_no_room_for_it(tmp_path: Path) -> None:
    model, whole = tiny_module("llama"), prompt(400)
    write_to_disk(model, tmp_path, whole)
    store = restarted(model, tmp_path, limit_bytes=1000)
    for _ in range(2):
        match = store.match(whole)
        assert (match.num_tokens, match.from_disk_tokens) == (399, 399)
        store.check()
    assert store.num_bytes == 0


def test_a_conversation_continues_across_restarts(tmp_path: Path) -> None:
    model, conversation = tiny_module("llama"), prompt(100)
    for turn in range(8):
        store = restarted(model, tmp_path)
        match = store.match(conversation)
        assert match.num_tokens >= (len(conversation) - 90 if turn else 0)
        caches = prefill(model, conversation[match.num_tokens :], match.caches)
        store.insert(conversation, caches)
        store.close(30.0)
        conversation += prompt(90, seed=turn + 1)
    fresh = prefill(model, conversation[:-91])
    match = restarted(model, tmp_path).match(conversation[:-90])
    assert match.num_tokens == len(conversation) - 91
    assert match.caches is not None
    assert continuation(model, match.caches, 5) == continuation(model, fresh, 5)


def test_a_damaged_block_does_not_affect_the_ones_before_it(tmp_path: Path) -> None:
    model, whole = tiny_module("llama"), prompt(1000)
    write_to_disk(model, tmp_path, whole)
    disk = DiskTier(tmp_path, "model", limit_bytes=100 * MIB)
    path = disk.find(whole).blocks[2].path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    store = KVStore(model, limit_bytes=100 * MIB, disk=disk)
    match = store.match(whole)
    assert (match.num_tokens, match.reason) == (512, MissReason.ENDS)
    assert match.caches is not None
    store.insert(whole, prefill(model, whole[512:], match.caches))
    store.close(30.0)
    assert restarted(model, tmp_path).match(whole).num_tokens == 999


def test_a_snapshot_of_another_form_is_computed_again(tmp_path: Path) -> None:
    model = tiny_module("mamba2")
    write_to_disk(tiny_module("llama"), tmp_path, prompt(40))
    store = restarted(model, tmp_path)
    assert store.match(prompt(60)).num_tokens == 0
    store.insert(prompt(60), prefill(model, prompt(60)))
    assert store.match([*prompt(60), 1]).num_tokens == 60


def test_nothing_is_read_while_computing_is_faster_and_reading_is_tried_again_later(tmp_path: Path) -> None:
    model, whole = tiny_module("llama"), prompt(400)
    write_to_disk(model, tmp_path, whole)
    store = restarted(model, tmp_path, limit_bytes=1000)
    assert store.match(whole).num_tokens == 399
    store.note_prefill(10**9, 0.001)
    assert store.cached_tokens(whole) == store.match(whole).num_tokens == 0
    for _ in range(100):
        store.note_prefill(100, 1.0)
    assert store.cached_tokens(whole) == store.match(whole).num_tokens == 399


def test_where_computing_is_known_to_be_faster_nothing_is_read_or_written(tmp_path: Path) -> None:
    """Also before the first read, as on a GPU: its engine times a prefill while it loads."""
    model, whole = tiny_module("llama"), prompt(600)
    write_to_disk(model, tmp_path / "written", whole)
    store = restarted(model, tmp_path / "written")
    store.note_prefill(10**9, 0.001)
    assert store.cached_tokens(whole) == store.match(whole).num_tokens == 0
    other = restarted(model, tmp_path / "other")
    other.note_prefill(10**9, 0.001)
    other.insert(whole, prefill(model, whole))
    other.close(30.0)
    assert not list((tmp_path / "other").glob(f"**/*{SUFFIX}"))


def test_a_rate_follows_recent_measurements() -> None:
    rate = Rate()
    assert rate.per_second is None
    rate.note(0, 1.0)
    assert rate.per_second is None
    rate.note(100, 1.0)
    assert rate.per_second == 100
    for _ in range(50):
        rate.note(10, 1.0)
    assert rate.per_second is not None
    assert 10 <= rate.per_second < 11
    rate.assume_faster()
    assert rate.per_second > 10.4


def test_a_measurement_counts_more_than_what_was_expected() -> None:
    rate = Rate(expected=1000.0)
    assert rate.per_second == pytest.approx(1000.0)
    rate.note(100, 1.0)
    assert rate.per_second == pytest.approx(100.0, rel=0.1)


def test_a_prompt_in_memory_or_on_disk_is_much_faster_than_computing_it(tmp_path: Path) -> None:
    """For 4096 tokens. The gate requires 3 and 4 percent with a real model, which takes far longer per byte.

    In computing time, which other processes on this machine do not lengthen.
    """
    model, whole = tiny_module("llama"), prompt(4097)
    prefill(model, whole[:512])
    began = time.process_time()
    caches = prefill(model, whole[:4096])
    cold = time.process_time() - began
    disk = DiskTier(tmp_path, "model", limit_bytes=100 * MIB)
    store = KVStore(model, limit_bytes=100 * MIB, disk=disk)
    store.insert(whole[:4096], caches)
    disk.flush(300)
    warm = min(timed_match(store, whole) for _ in range(3))
    from_disk = min(timed_match(restarted(model, tmp_path), whole) for _ in range(3))
    assert warm < 0.03 * cold
    assert from_disk < 0.25 * cold


def timed_match(store: KVStore, token_ids: list[int]) -> float:
    began = time.process_time()
    assert store.match(token_ids).num_tokens == len(token_ids) - 1
    return time.process_time() - began


def test_snapshots_at_boundaries_are_found_from_both_tiers(tmp_path: Path) -> None:
    model, whole = tiny_module("gemma3_text"), prompt(4 * WINDOW)
    store = restarted(model, tmp_path)
    caches = prefill(model, whole[: 2 * WINDOW])
    store.insert(whole[: 2 * WINDOW], caches, [Boundary(2 * WINDOW, BoundaryKind.SYSTEM)])
    store.insert(whole, prefill(model, whole[2 * WINDOW :], caches))
    branch = [*whole[: 3 * WINDOW], *prompt(5, seed=1)]
    assert store.match(branch).num_tokens == 2 * WINDOW
    store.close(30.0)
    for each in (restarted(model, tmp_path), restarted(model, tmp_path)):
        match = each.match(branch)
        assert match.num_tokens == 2 * WINDOW == each.cached_tokens(branch)
        assert match.caches is not None
        expected = prefill(model, whole[: 2 * WINDOW])
        assert_same(match.caches, expected)
        each.check()


def test_a_tier_without_files_is_a_miss(tmp_path: Path) -> None:
    store = restarted(tiny_module("llama"), tmp_path / "not there")
    assert store.match(prompt(5)).reason is MissReason.EMPTY
    assert not list(tmp_path.rglob(f"*{SUFFIX}"))
