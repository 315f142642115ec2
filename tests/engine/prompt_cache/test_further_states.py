"""States that cannot be cut are kept where prompts part and between chunks, and the least valuable go first."""

from __future__ import annotations

from pathlib import Path

import pytest

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.core.prefixes.states import States, further_boundaries
from pensieve.engine.prompt_cache.disk.tier import DiskTier
from pensieve.engine.prompt_cache.store import KVStore
from pensieve.models.loading.load import LoadedModel
from tests.engine.support.tiny_modules import prefill, prompt, tiny_module

MIB = 1 << 20
STATES = States(256, lambda num_tokens: 100_000 + num_tokens)
SHARED = prompt(1100, 1)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_module("lfm2")


def insert(store: KVStore, model: LoadedModel, token_ids: list[int], kind: BoundaryKind) -> None:
    store.insert(token_ids, prefill(model, token_ids), [Boundary(len(token_ids), kind)])
    store.check()


def further(store: KVStore, token_ids: list[int], kind: BoundaryKind) -> list[int]:
    found = further_boundaries(len(token_ids), store.shared_tokens(token_ids), (), STATES, 0)
    return [each.num_tokens for each in found if each.kind is kind]


def test_a_prompt_keeps_a_state_where_it_leaves_a_stored_one(model: LoadedModel) -> None:
    store = KVStore(model, limit_bytes=100 * MIB)
    insert(store, model, SHARED, BoundaryKind.TURN)
    other = [*SHARED[:700], *prompt(300, 2)]
    assert further(store, other, BoundaryKind.BRANCH) == [700]
    insert(store, model, other[:700], BoundaryKind.BRANCH)
    third = [*SHARED[:700], *prompt(300, 3)]
    assert store.match(third).num_tokens == 700
    assert further(store, third, BoundaryKind.BRANCH) == []


def test_edges_are_evicted_first_and_those_that_save_least_per_byte_before_others(model: LoadedModel) -> None:
    store = KVStore(model, limit_bytes=100 * MIB)
    insert(store, model, SHARED, BoundaryKind.TURN)
    for num_tokens in (1000, 900, 300):
        insert(store, model, SHARED[:num_tokens], BoundaryKind.EDGE)
    left = []
    for _ in range(3):
        store.shrink(1)
        store.check()
        left.append([num for num in (300, 900, 1000, 1100) if _ends_at(store, num)])
    assert left == [[300, 900, 1100], [900, 1100], [1100]], "1000 saves 100 tokens, 300 saves 300, and 900 then 900"


def _ends_at(store: KVStore, num_tokens: int) -> bool:
    return store.cached_tokens([*SHARED[:num_tokens], 1]) == num_tokens


def test_an_edge_is_written_to_disk_when_it_is_first_read(tmp_path: Path, model: LoadedModel) -> None:
    disk = DiskTier(tmp_path, "model", limit_bytes=100 * MIB)
    store = KVStore(model, limit_bytes=100 * MIB, disk=disk)
    edge, later = prompt(1100, 4), [*prompt(1100, 4), *prompt(50, 5)]
    insert(store, model, edge, BoundaryKind.EDGE)
    assert disk.state_tokens(tuple(later), "") == 0
    assert store.match(later).num_tokens == len(edge)
    assert disk.state_tokens(tuple(later), "") == len(edge)
    store.close(60)
