"""Prompts are written once, when they are worth it: long ones soon, short ones at their second use or at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.core.prefixes.worth import SOON_TOKENS
from pensieve.engine.kv.segments import bytes_per_token
from pensieve.engine.prompt_cache.disk.tier import BLOCK_TOKENS, DiskTier
from pensieve.engine.prompt_cache.disk.write_budget import WriteBudget
from pensieve.engine.prompt_cache.store import KVStore
from pensieve.models.loading.load import LoadedModel
from tests.engine.support.tiny_modules import prefill, prompt, tiny_module

MIB = 1 << 20


@contextmanager
def opened(model: LoadedModel, folder: Path, day_bytes: int | None = None) -> Iterator[tuple[KVStore, DiskTier]]:
    disk = DiskTier(folder, "model", limit_bytes=100 * MIB, budget=WriteBudget(folder, day_bytes))
    store = KVStore(model, limit_bytes=100 * MIB, disk=disk)
    try:
        yield store, disk
    finally:
        store.close(30.0)


@pytest.fixture(scope="module")
def llama() -> LoadedModel:
    return tiny_module("llama")


@pytest.fixture(scope="module")
def recurrent() -> LoadedModel:
    return tiny_module("mamba2")


def turn(model: LoadedModel, store: KVStore, token_ids: list[int], *boundaries: Boundary) -> list[Any]:
    """As the engine does: the prompt when it is computed, and everything at the answer's end."""
    match = store.match(token_ids)
    caches = prefill(model, token_ids[match.num_tokens :], match.caches)
    store.insert(token_ids, caches, boundaries)
    return caches


def on_disk(disk: DiskTier, token_ids: list[int]) -> int:
    assert disk.flush(300)
    return max(disk.find(token_ids).num_tokens, disk.find_state(token_ids).num_tokens)


def test_whole_blocks_of_a_long_prompt_are_written_at_once_and_its_rest_at_the_end(
    llama: LoadedModel, tmp_path: Path
) -> None:
    whole = prompt(SOON_TOKENS + 100)
    with opened(llama, tmp_path) as (store, disk):
        turn(llama, store, whole)
        assert on_disk(disk, whole) == SOON_TOKENS
    with opened(llama, tmp_path) as (_, disk):
        assert on_disk(disk, whole) == len(whole)


def test_a_short_prompt_waits_for_its_second_use(llama: LoadedModel, tmp_path: Path) -> None:
    whole = prompt(600)
    with opened(llama, tmp_path) as (store, disk):
        turn(llama, store, whole[:300])
        assert on_disk(disk, whole) == 0
        turn(llama, store, whole)
        assert on_disk(disk, whole) == 512


def test_a_prompt_of_a_few_tokens_is_never_written(llama: LoadedModel, tmp_path: Path) -> None:
    with opened(llama, tmp_path) as (store, _):
        turn(llama, store, prompt(60))
    with opened(llama, tmp_path) as (_, disk):
        assert on_disk(disk, prompt(60)) == 0
    assert WriteBudget(tmp_path).usage().day_bytes == 0


def test_system_text_that_others_share_does_not_make_a_prompt_read_again(llama: LoadedModel, tmp_path: Path) -> None:
    system = prompt(300)
    boundary = Boundary(300, BoundaryKind.SYSTEM)
    with opened(llama, tmp_path) as (store, disk):
        for seed in (1, 2, 3):
            turn(llama, store, [*system, *prompt(300, seed)], boundary)
        assert on_disk(disk, [*system, *prompt(300, 3)]) == 0


def test_a_growing_conversation_is_written_once(llama: LoadedModel, tmp_path: Path) -> None:
    whole = prompt(3000)
    for first in (0, 10):  # with a restart between
        with opened(llama, tmp_path) as (store, disk):
            for number in range(first, first + 10):
                caches = turn(llama, store, whole[: 1100 + 90 * number])
                assert on_disk(disk, whole) >= (1100 + 90 * number) // BLOCK_TOKENS * BLOCK_TOKENS
    unique = bytes_per_token(caches) * (1100 + 90 * 19)
    rest = bytes_per_token(caches) * BLOCK_TOKENS
    assert (
        unique < WriteBudget(tmp_path).usage().day_bytes < 1.1 * unique + rest
    )  # headers, and the rest at the restart


def test_a_recurrent_state_is_not_written_at_every_turn(recurrent: LoadedModel, tmp_path: Path) -> None:
    whole = prompt(4000)
    with opened(recurrent, tmp_path) as (store, disk):
        for number in range(20):
            turn(recurrent, store, whole[: 1100 + 100 * number])
            assert on_disk(disk, whole) > (1100 + 100 * number) - SOON_TOKENS
        num_files = len(list(tmp_path.glob("*.kv")))
    assert num_files <= 2
    with opened(recurrent, tmp_path) as (_, disk):
        assert on_disk(disk, whole) == 3000


@pytest.mark.parametrize("kind", ["mamba2", "lfm2"])
def test_a_short_state_is_written_when_a_second_prompt_continues_from_it(kind: str, tmp_path: Path) -> None:
    """Like a short prompt of other models at its second use. A conversation that grows continues once from each."""
    model, shared = tiny_module(kind), prompt(300)
    with opened(model, tmp_path) as (store, disk):
        turn(model, store, shared)
        for seed in (1, 2):
            assert on_disk(disk, [*shared, 1]) == 0
            turn(model, store, [*shared, *prompt(100, seed)])
        assert on_disk(disk, [*shared, 1]) == 300


@pytest.mark.parametrize("kind", ["mamba2", "lfm2"])
def test_the_end_of_a_short_conversation_and_what_it_continued_from_are_written_at_the_end(
    kind: str, tmp_path: Path
) -> None:
    """So that its last turn can be answered again after a restart, too."""
    model, whole = tiny_module(kind), prompt(500)
    with opened(model, tmp_path) as (store, _):
        for length in (200, 300, 400, 500):
            turn(model, store, whole[:length])
    with opened(model, tmp_path) as (_, disk):
        found = [disk.find_state(whole[:length]).num_tokens for length in (300, 400, 499, 500)]
    assert found == [0, 400, 400, 500]


def test_with_the_days_writes_half_spent_only_what_is_read_again_is_written(
    llama: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = prompt(2 * SOON_TOKENS), prompt(SOON_TOKENS, seed=1)
    block_bytes = bytes_per_token(prefill(llama, [1])) * BLOCK_TOKENS
    with opened(llama, tmp_path, 18 * block_bytes) as (store, disk):
        turn(llama, store, one)
        assert on_disk(disk, one) == 8 * BLOCK_TOKENS
        turn(llama, store, other)
        assert on_disk(disk, other) == 0
        turn(llama, store, [*one, *prompt(300, seed=2)])
        assert on_disk(disk, [*one, *prompt(300, seed=2)]) == 9 * BLOCK_TOKENS
        turn(llama, store, [*other, *prompt(300, seed=3)])
        assert on_disk(disk, other) == SOON_TOKENS, "expected the second use to write what was left out"
    assert len(caplog.records) == 1


def test_without_a_budget_prompts_are_kept_in_memory_only(llama: LoadedModel, tmp_path: Path) -> None:
    whole = prompt(SOON_TOKENS)
    with opened(llama, tmp_path, 0) as (store, disk):
        turn(llama, store, whole)
        assert on_disk(disk, whole) == 0
        assert store.match([*whole, 1]).num_tokens == len(whole)
    assert not list(tmp_path.glob("*.kv"))


def test_nothing_is_written_that_takes_longer_to_read_than_to_compute(llama: LoadedModel, tmp_path: Path) -> None:
    with opened(llama, tmp_path) as (store, disk):
        turn(llama, store, prompt(SOON_TOKENS))
        assert disk.flush(300)
    with opened(llama, tmp_path) as (store, disk):
        assert store.match([*prompt(SOON_TOKENS), 1]).from_disk_tokens == SOON_TOKENS  # which measures reading
        store.note_prefill(10**9, 0.001)
        turn(llama, store, prompt(SOON_TOKENS, seed=1))
        assert on_disk(disk, prompt(SOON_TOKENS, seed=1)) == 0


def test_what_waits_to_be_written_counts_as_the_caches_memory_and_can_be_given_up(
    llama: LoadedModel, tmp_path: Path
) -> None:
    whole = prompt(2 * SOON_TOKENS)
    with opened(llama, tmp_path) as (store, disk), disk._files.locked():  # so that the writer waits
        turn(llama, store, whole)
        waiting = disk.queued_bytes
        assert waiting >= bytes_per_token(prefill(llama, [1])) * 2 * SOON_TOKENS
        assert store.num_bytes >= 2 * waiting
        assert store.shrink(store.num_bytes) >= 2 * waiting
        assert store.num_bytes == 0
