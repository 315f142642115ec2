"""On disk, the states of a prompt share the blocks of those layers that can be cut, as they share them in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pensieve.core.prefixes.worth import SOON_TOKENS, Worth
from pensieve.engine.kv.blocks import is_state
from pensieve.engine.kv.separation import Separated
from pensieve.engine.kv.snapshots import Snapshot
from pensieve.engine.prompt_cache.disk.file import read_header
from pensieve.engine.prompt_cache.disk.folder import SET_ASIDE
from pensieve.engine.prompt_cache.disk.tier import BLOCK_TOKENS, DiskTier
from pensieve.engine.prompt_cache.disk.write_budget import WriteBudget
from pensieve.engine.prompt_cache.store import KVStore
from pensieve.models.loading.load import LoadedModel
from tests.engine.prompt_cache.disk.test_what_is_written import on_disk, opened, turn
from tests.engine.support.tiny_modules import continuation, prefill, prompt, tiny_module

HYBRIDS = ("lfm2", "falcon_h1", "gemma3_text")
HEADERS = 20_000
"""More than the headers of the files of one turn."""


@pytest.fixture(scope="module", params=HYBRIDS)
def hybrid(request: pytest.FixtureRequest) -> LoadedModel:
    return tiny_module(request.param)


@pytest.fixture(scope="module")
def lfm2() -> LoadedModel:
    return tiny_module("lfm2")


def assert_served_from_disk(model: LoadedModel, folder: Path, token_ids: list[int]) -> None:
    with opened(model, folder) as (store, _):
        match = store.match([*token_ids, 1])
        assert (match.num_tokens, match.from_disk_tokens) == (len(token_ids), len(token_ids))
        assert match.caches is not None
        assert continuation(model, match.caches, 1) == continuation(model, prefill(model, token_ids), 1)
        store.check()


def test_a_second_turn_writes_its_own_tokens_and_its_state(hybrid: LoadedModel, tmp_path: Path) -> None:
    first, new = 8 * BLOCK_TOKENS, SOON_TOKENS + 100
    whole, written = prompt(first + new), []
    with opened(hybrid, tmp_path) as (store, disk):
        for length in (first, len(whole)):
            caches = turn(hybrid, store, whole[:length])
            assert on_disk(disk, whole[:length]) == length
            assert disk.find_state(whole[:first]).num_tokens == first
            written.append(WriteBudget(tmp_path).usage().day_bytes)
    parts = Separated.of(caches)
    state_bytes = Snapshot.of(parts.others).num_bytes
    new_bytes = parts.bytes_per_token * new
    assert new_bytes < written[1] - written[0] < new_bytes + state_bytes + HEADERS
    assert sum(path.stat().st_size for path in tmp_path.glob("*.kv")) == written[1]
    for length in (first, len(whole)):
        assert_served_from_disk(hybrid, tmp_path, whole[:length])


@pytest.mark.parametrize("num_tokens", [100, BLOCK_TOKENS, 2 * BLOCK_TOKENS, 2 * BLOCK_TOKENS + 1])
def test_a_state_is_found_wherever_it_ends(lfm2: LoadedModel, tmp_path: Path, num_tokens: int) -> None:
    with opened(lfm2, tmp_path) as (store, _):
        turn(lfm2, store, prompt(num_tokens))
    assert_served_from_disk(lfm2, tmp_path, prompt(num_tokens))


def test_only_what_memory_lacks_is_read(lfm2: LoadedModel, tmp_path: Path) -> None:
    whole = prompt(1200)
    with opened(lfm2, tmp_path) as (store, _):
        turn(lfm2, store, whole)
    with opened(lfm2, tmp_path) as (store, disk):
        store.insert(whole[:600], prefill(lfm2, whole[:600]))
        for stored in disk.find_state(whole).blocks[:2]:
            stored.path.unlink()  # of tokens that are in memory
        match = store.match([*whole, 1])
        assert (match.num_tokens, match.from_disk_tokens) == (1200, 600)
        assert match.caches is not None
        assert continuation(lfm2, match.caches, 1) == continuation(lfm2, prefill(lfm2, whole), 1)
        store.check()


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("damage", ["deleted", "changed"])
def test_a_damaged_block_is_a_miss_and_is_written_again(
    lfm2: LoadedModel, tmp_path: Path, number: int, damage: str
) -> None:
    whole = prompt(4 * BLOCK_TOKENS + 10)
    with opened(lfm2, tmp_path) as (store, _):
        turn(lfm2, store, whole)
    with opened(lfm2, tmp_path) as (store, disk):
        blocks = disk.find_state(whole).blocks
        assert len(blocks) == 5
        path = blocks[number].path
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        if damage == "deleted":
            path.unlink()
        match = store.match([*whole, 1])
        assert (match.num_tokens, match.caches) == (0, None)
        assert (tmp_path / SET_ASIDE / path.name).exists() == (damage == "changed")
        turn(lfm2, store, whole)
    assert_served_from_disk(lfm2, tmp_path, whole)


@pytest.mark.parametrize("num_tokens", [BLOCK_TOKENS, 400])
def test_whole_states_of_earlier_versions_are_read(hybrid: LoadedModel, tmp_path: Path, num_tokens: int) -> None:
    """One of 256 tokens has the name of the segment of the same tokens, which takes its place."""
    old, longer = prompt(num_tokens), prompt(SOON_TOKENS + num_tokens)
    with opened(hybrid, tmp_path) as (_, disk):
        form, arrays = Snapshot.of(prefill(hybrid, old)).to_host()
        block = disk.new_block(disk.place_at_root(old), old, form, arrays)
        disk.put([(block, Worth.READ_AGAIN)], [])
    assert_served_from_disk(hybrid, tmp_path, old)
    with opened(hybrid, tmp_path) as (store, _):
        turn(hybrid, store, longer)
    assert_served_from_disk(hybrid, tmp_path, longer)


def test_a_prompt_that_exceeds_the_queue_is_written_in_parts(lfm2: LoadedModel, tmp_path: Path) -> None:
    whole, num_files = prompt(6 * BLOCK_TOKENS + 10), []
    caches = prefill(lfm2, whole)
    limit_bytes = 2 * 4 * BLOCK_TOKENS * Separated.of(caches).bytes_per_token
    for _ in range(2):
        disk = DiskTier(tmp_path, "model", limit_bytes=1 << 30)
        KVStore(lfm2, limit_bytes=limit_bytes, disk=disk).insert(whole, caches)
        disk.close(300)
        num_files.append(len(list(tmp_path.glob("*.kv"))))
    assert num_files == [4, 7], "expected half of the limit, four blocks, to wait to be written"
    assert_served_from_disk(lfm2, tmp_path, whole)


def test_states_go_before_the_segments_they_need(lfm2: LoadedModel, tmp_path: Path) -> None:
    with opened(lfm2, tmp_path) as (store, disk):
        for seed in range(3):
            turn(lfm2, store, prompt(1100, seed))
            assert disk.flush(300)
        size = sum(path.stat().st_size for path in tmp_path.glob("*.kv"))
    for limit_bytes in range(size, 0, -size // 9):
        disk = DiskTier(tmp_path, "model", limit_bytes=limit_bytes)
        disk.close(300)
        assert disk.num_bytes <= limit_bytes
        found = {block.key for seed in range(3) for block in disk.find_state(prompt(1100, seed)).blocks}
        states = [path.stem for path in tmp_path.glob("*.kv") if is_state(read_header(path).form)]
        assert found.issuperset(states)


def test_a_state_is_not_written_without_the_segments_it_needs(tmp_path: Path) -> None:
    token_ids = prompt(BLOCK_TOKENS + 10)
    disk = DiskTier(tmp_path, "model", limit_bytes=1 << 30)
    *_, place = disk.places(token_ids, is_state=True)
    disk.put([(disk.new_block(place, token_ids, {"layout": "state"}, []), Worth.READ_AGAIN)], [])
    disk.close(300)
    assert not list(tmp_path.glob("*.kv"))
