"""The prefix tree, with segments and with snapshots, against payloads that name their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import pytest

from pensieve.core.prefixes.node import PrefixMatch
from pensieve.core.prefixes.tree import PrefixTree

PER_TOKEN = 10


@dataclass(frozen=True)
class Tokens:
    """A segment that names its tokens and their position in the prompt."""

    start: int
    token_ids: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return PER_TOKEN * len(self.token_ids)

    def split(self, at: int) -> tuple[Tokens, Tokens]:
        return Tokens(self.start, self.token_ids[:at]), Tokens(self.start + at, self.token_ids[at:])


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that names the prompt it was taken after."""

    token_ids: tuple[int, ...]
    num_bytes: int = 7

    def split(self, at: int) -> NoReturn:
        raise AssertionError(f"a snapshot cannot be split at {at}")


def tree_of(*prompts: tuple[int, ...]) -> PrefixTree[Tokens]:
    tree: PrefixTree[Tokens] = PrefixTree()
    for prompt in prompts:
        insert(tree, prompt)
    return tree


def insert(tree: PrefixTree[Tokens], prompt: tuple[int, ...], *cuts: int) -> int:
    return tree.insert(prompt, lambda start, end: Tokens(start, prompt[start:end]), cuts)


def insert_snapshot(tree: PrefixTree[Snapshot], prompt: tuple[int, ...]) -> int:
    """Without segments, as of a model whose layers all have states."""
    return tree.insert(prompt, lambda *_: None, snapshot=Snapshot(prompt))


def insert_both(tree: PrefixTree[Tokens | Snapshot], prompt: tuple[int, ...]) -> int:
    """As of a hybrid."""
    return tree.insert(prompt, lambda start, end: Tokens(start, prompt[start:end]), snapshot=Snapshot(prompt))


def read(found: PrefixMatch[Tokens]) -> tuple[int, ...]:
    tokens: list[int] = []
    for payload in found.payloads:
        assert payload.start == len(tokens)
        tokens += payload.token_ids
    return tuple(tokens[: found.num_tokens])


def test_a_shared_prefix_is_stored_once() -> None:
    tree = tree_of((1, 2, 3, 4), (1, 2, 5))
    assert (tree.num_tokens, tree.num_bytes) == (5, 5 * PER_TOKEN)
    assert read(tree.match((1, 2, 5, 9))) == (1, 2, 5)
    tree.check()


def test_a_match_may_end_within_a_node_and_reports_a_continuation() -> None:
    tree = tree_of((1, 2, 3, 4))
    within, at_the_end, nowhere = tree.match((1, 2, 9)), tree.match((1, 2, 3, 4, 5)), tree.match((7,))
    assert (within.num_tokens, within.has_continuation) == (2, True)
    assert (at_the_end.num_tokens, at_the_end.has_continuation) == (4, False)
    assert (nowhere.num_tokens, nowhere.has_continuation, nowhere.nodes) == (0, True, ())
    assert PrefixTree[Tokens]().match((1,)) == PrefixMatch(0, (), (), 0, has_continuation=False)


def test_the_least_recently_used_leaf_is_evicted_first() -> None:
    tree = tree_of((1, 2), (1, 2, 3), (1, 2, 4), (5, 6))
    tree.touch(tree.match((1, 2, 3)).nodes, 0.0)
    tree.evict(1, 0.0)
    assert tree.match((1, 2, 4)).num_tokens == 2
    tree.evict(1, 0.0)
    assert tree.match((5, 6)).num_tokens == 0
    tree.evict(1, 0.0)
    assert tree.match((1, 2, 3)).num_tokens == 2
    tree.evict(1, 0.0)
    assert tree.is_empty()


def test_a_time_to_live_delays_eviction_and_system_prefixes_are_evicted_last() -> None:
    tree = tree_of((1, 2, 3), (4, 5), (6, 7))
    tree.mark((1, 2), is_system=True)
    tree.mark((4, 5), ttl_seconds=300, now=0.0)
    for left in ({(1, 2, 3), (4, 5), (6, 7)}, {(1, 2), (4, 5), (6, 7)}, {(1, 2), (4, 5)}, {(1, 2)}, set()):
        stored = {prompt[: tree.match(prompt).num_tokens] for prompt in ((1, 2, 3), (4, 5), (6, 7))} - {()}
        assert stored == left
        tree.check()
        tree.evict(1, 100.0)


def test_a_time_to_live_expires_unless_its_prompt_is_used() -> None:
    tree = tree_of((1,), (2,))
    tree.mark((1,), ttl_seconds=300, now=0.0)
    tree.evict(1, 301.0)
    assert tree.match((1,)).num_tokens == 0

    tree = tree_of((1,), (2,))
    tree.mark((1,), ttl_seconds=300, now=0.0)
    tree.touch(tree.match((1,)).nodes, 250.0)
    tree.touch(tree.match((2,)).nodes, 260.0)
    tree.evict(1, 301.0)
    assert tree.match((1,)).num_tokens == 1


def test_a_pinned_node_stays_when_it_is_split() -> None:
    tree = tree_of((1, 2, 3, 4))
    found = tree.match((1, 2))
    with tree.pinned(found.nodes):
        insert(tree, (1, 2, 9))
        assert tree.evict(10**9, 0.0) == PER_TOKEN
        assert tree.match((1, 2, 3, 4)).num_tokens == 4
    assert read(found) == (1, 2)
    assert tree.evict(10**9, 0.0) == 4 * PER_TOKEN
    tree.check()


def test_a_payload_that_cannot_be_made_leaves_the_tree_consistent() -> None:
    def fails(start: int, end: int) -> Tokens:
        raise MemoryError

    tree = tree_of((1, 2, 3))
    with pytest.raises(MemoryError):
        tree.insert((1, 2, 4), fails)
    tree.check()
    assert read(tree.match((1, 2, 3))) == (1, 2, 3)


def test_a_match_ends_at_a_snapshot_and_not_between_two() -> None:
    tree: PrefixTree[Snapshot] = PrefixTree(holds_snapshots=True)
    assert insert_snapshot(tree, (1, 2)) == 2
    assert insert_snapshot(tree, (1, 2, 3, 4)) == 2
    found = tree.match((1, 2, 3, 9))
    assert (found.num_tokens, found.num_shared_tokens, found.has_continuation) == (2, 3, True)
    assert found.payloads == (Snapshot((1, 2)),)
    assert insert_snapshot(tree, (1, 2, 3, 4)) == 0
    tree.check()


def test_snapshots_are_evicted_one_by_one() -> None:
    tree: PrefixTree[Snapshot] = PrefixTree(holds_snapshots=True)
    for prompt in ((1, 2), (1, 2, 3), (1, 2, 3, 4)):
        insert_snapshot(tree, prompt)
    tree.touch(tree.match((1, 2)).nodes, 0.0)
    assert tree.evict(1, 0.0) == 7
    assert [tree.match(prompt).num_tokens for prompt in ((1, 2), (1, 2, 3), (1, 2, 3, 4))] == [2, 2, 4]
    tree.evict(1, 0.0)
    tree.evict(1, 0.0)
    assert tree.is_empty()
    tree.check()


def test_snapshots_share_segments_which_are_freed_with_the_last_of_them() -> None:
    tree: PrefixTree[Tokens | Snapshot] = PrefixTree(holds_snapshots=True)
    for prompt in ((1, 2), (1, 2, 3), (1, 2, 4), (1, 5)):
        insert_both(tree, prompt)
    assert tree.num_bytes == 4 * 7 + 5 * PER_TOKEN
    found = tree.match((1, 2, 4, 9))
    assert found.payloads == (Tokens(0, (1,)), Tokens(1, (2,)), Tokens(2, (4,)), Snapshot((1, 2, 4)))
    freed = [tree.evict(1, 0.0) for _ in range(4)]
    assert freed == [7, 7 + PER_TOKEN, 7 + 2 * PER_TOKEN, 7 + 2 * PER_TOKEN]
    assert tree.is_empty()
    tree.check()


def test_segments_of_a_pinned_path_stay_until_it_is_released() -> None:
    tree: PrefixTree[Tokens | Snapshot] = PrefixTree(holds_snapshots=True)
    insert_both(tree, (1, 2, 3))
    with tree.pinned(tree.cut((1, 2, 9), 3)):
        assert tree.evict(1, 0.0) == 7 + PER_TOKEN
        assert tree.num_bytes == 2 * PER_TOKEN
        insert_both(tree, (1, 2, 4))
    tree.check()
    assert tree.match((1, 2, 4)).num_tokens == 3
    tree.evict(1, 0.0)
    with tree.pinned(tree.cut((1, 2, 4), 2)):
        pass
    assert tree.num_bytes == 0
    tree.check()


def test_the_ends_of_prompts_include_the_snapshot_that_was_read_last() -> None:
    tree: PrefixTree[Snapshot] = PrefixTree(holds_snapshots=True)
    for length in (1, 2, 3, 4):
        insert_snapshot(tree, (1, 2, 3, 4)[:length])
    for length in (1, 2):
        tree.touch(tree.match((1, 2)[:length]).nodes, 0.0, is_read=True)
    lengths = {sum(len(node.token_ids) for node in path) for _, path in tree.ends()}
    assert lengths == {2, 4}


def test_the_check_finds_bytes_that_do_not_add_up() -> None:
    tree = tree_of((1, 2, 3))
    tree.match((1, 2, 3)).nodes[0].payload = Tokens(0, (1,))
    with pytest.raises(AssertionError, match="bytes do not add up"):
        tree.check()
