"""What is stored in one namespace of a prefix tree is not found in another, and all are evicted as one."""

from __future__ import annotations

import pytest

from pensieve.core.prefixes.tree import PrefixTree
from tests.core.prefixes.test_tree import Snapshot, Tokens

PROMPT = (1, 2, 3, 4)


def stored(tree: PrefixTree[Tokens], namespace: str, prompt: tuple[int, ...] = PROMPT) -> None:
    tree.insert(prompt, lambda start, end: Tokens(start, prompt[start:end]), namespace=namespace)
    tree.check()


@pytest.mark.parametrize("other", ["", "bob", "alice "])
def test_a_prompt_is_found_in_its_own_namespace_only(other: str) -> None:
    tree: PrefixTree[Tokens] = PrefixTree()
    stored(tree, "alice")
    assert tree.match(PROMPT, namespace="alice").num_tokens == 4
    found = tree.match(PROMPT, namespace=other)
    assert (found.num_tokens, found.num_shared_tokens, found.has_continuation) == (0, 0, False)
    assert tree.is_empty(other)
    assert not tree.is_empty("alice")
    assert tree.cut(PROMPT, 2, namespace=other) == ()


def test_the_same_prompt_is_stored_once_for_each_namespace() -> None:
    tree: PrefixTree[Tokens] = PrefixTree()
    stored(tree, "alice")
    stored(tree, "bob")
    assert (tree.num_tokens, tree.num_bytes) == (8, 80)


def test_a_snapshot_is_found_in_its_own_namespace_only() -> None:
    tree: PrefixTree[Snapshot] = PrefixTree(holds_snapshots=True)
    assert tree.insert(PROMPT, lambda *_: None, snapshot=Snapshot(PROMPT), namespace="alice") == 4
    assert tree.match(PROMPT, namespace="bob").num_tokens == 0
    assert tree.insert(PROMPT, lambda *_: None, snapshot=Snapshot(PROMPT), namespace="bob") == 4
    assert tree.match(PROMPT, namespace="bob").num_tokens == 4
    tree.check()


def test_the_least_recently_used_is_evicted_first_whichever_namespace_it_is_in() -> None:
    tree: PrefixTree[Tokens] = PrefixTree()
    for namespace in ("alice", "bob", "carol"):
        stored(tree, namespace)
    tree.touch(tree.match(PROMPT, namespace="alice").nodes, 0.0)
    assert tree.evict(40, 0.0) == 40
    assert [tree.match(PROMPT, namespace=each).num_tokens for each in ("alice", "bob", "carol")] == [4, 0, 4]


def test_a_mark_protects_the_prompt_of_its_own_namespace_only() -> None:
    tree: PrefixTree[Tokens] = PrefixTree()
    stored(tree, "alice")
    stored(tree, "bob")
    tree.mark(PROMPT, is_system=True, namespace="alice")
    tree.evict(40, 0.0)
    assert [tree.match(PROMPT, namespace=each).num_tokens for each in ("alice", "bob")] == [4, 0]
