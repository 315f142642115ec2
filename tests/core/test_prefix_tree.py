"""The radix tree, against a model that a child could check."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import NoReturn

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from pensieve.core.prefix_node import Found, Node
from pensieve.core.prefix_tree import PrefixTree

PER_TOKEN = 10


@dataclass(frozen=True)
class Tokens:
    """A payload that says which tokens it is of, and where in the prompt they are."""

    start: int
    token_ids: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return PER_TOKEN * len(self.token_ids)

    def split(self, at: int) -> tuple[Tokens, Tokens]:
        return Tokens(self.start, self.token_ids[:at]), Tokens(self.start + at, self.token_ids[at:])


@dataclass(frozen=True)
class State:
    """A payload that stands alone: all that there is after a prompt."""

    token_ids: tuple[int, ...]
    num_bytes: int = 7

    def split(self, at: int) -> NoReturn:
        raise AssertionError(f"a state cannot be split at {at}")


def joining(*prompts: tuple[int, ...]) -> PrefixTree[Tokens]:
    tree: PrefixTree[Tokens] = PrefixTree()
    for prompt in prompts:
        insert(tree, prompt)
    return tree


def insert(tree: PrefixTree[Tokens], prompt: tuple[int, ...], *cuts: int) -> int:
    return tree.insert(prompt, lambda start, end: Tokens(start, prompt[start:end]), cuts)


def insert_state(tree: PrefixTree[State], prompt: tuple[int, ...]) -> int:
    return tree.insert(prompt, lambda _start, end: State(prompt[:end]))


def read(found: Found[Tokens]) -> tuple[int, ...]:
    tokens: list[int] = []
    for payload in found.payloads:
        assert payload.start == len(tokens)
        tokens += payload.token_ids
    return tuple(tokens[: found.num_tokens])


def test_a_shared_prefix_is_stored_once() -> None:
    tree = joining((1, 2, 3, 4), (1, 2, 5))
    assert (tree.num_tokens, tree.num_bytes) == (5, 5 * PER_TOKEN)
    assert read(tree.match((1, 2, 5, 9))) == (1, 2, 5)
    tree.check()


def test_a_match_may_end_within_a_node_and_says_whether_something_goes_on_from_there() -> None:
    tree = joining((1, 2, 3, 4))
    within, at_the_end, nowhere = tree.match((1, 2, 9)), tree.match((1, 2, 3, 4, 5)), tree.match((7,))
    assert (within.num_tokens, within.goes_on) == (2, True)
    assert (at_the_end.num_tokens, at_the_end.goes_on) == (4, False)
    assert (nowhere.num_tokens, nowhere.goes_on, nowhere.nodes) == (0, True, ())
    assert PrefixTree[Tokens]().match((1,)) == Found(0, (), (), 0, goes_on=False)


def test_the_least_recently_used_goes_first_and_what_others_build_on_after_them() -> None:
    tree = joining((1, 2), (1, 2, 3), (1, 2, 4), (5, 6))
    tree.touch(tree.match((1, 2, 3)).nodes, 0.0)
    tree.evict(1, 0.0)
    assert tree.match((1, 2, 4)).num_tokens == 2
    tree.evict(1, 0.0)
    assert tree.match((5, 6)).num_tokens == 0
    tree.evict(1, 0.0)
    assert tree.match((1, 2, 3)).num_tokens == 2
    tree.evict(1, 0.0)
    assert tree.is_empty


def test_prompts_with_a_time_to_live_go_later_and_system_prefixes_last() -> None:
    tree = joining((1, 2, 3), (4, 5), (6, 7))
    tree.mark((1, 2), is_system=True)
    tree.mark((4, 5), ttl_seconds=300, now=0.0)
    for left in ({(1, 2, 3), (4, 5), (6, 7)}, {(1, 2), (4, 5), (6, 7)}, {(1, 2), (4, 5)}, {(1, 2)}, set()):
        stored = {prompt[: tree.match(prompt).num_tokens] for prompt in ((1, 2, 3), (4, 5), (6, 7))} - {()}
        assert stored == left
        tree.check()
        tree.evict(1, 100.0)


def test_a_time_to_live_ends_unless_its_prompt_is_used() -> None:
    tree = joining((1,), (2,))
    tree.mark((1,), ttl_seconds=300, now=0.0)
    tree.evict(1, 301.0)
    assert tree.match((1,)).num_tokens == 0

    tree = joining((1,), (2,))
    tree.mark((1,), ttl_seconds=300, now=0.0)
    tree.touch(tree.match((1,)).nodes, 250.0)
    tree.touch(tree.match((2,)).nodes, 260.0)
    tree.evict(1, 301.0)
    assert tree.match((1,)).num_tokens == 1


def test_what_is_pinned_stays_even_when_it_is_cut_meanwhile() -> None:
    tree = joining((1, 2, 3, 4))
    found = tree.match((1, 2))
    with tree.pinned(found.nodes):
        insert(tree, (1, 2, 9))
        assert tree.evict(10**9, 0.0) == PER_TOKEN
        assert tree.match((1, 2, 3, 4)).num_tokens == 4
    assert read(found) == (1, 2)
    assert tree.evict(10**9, 0.0) == 4 * PER_TOKEN
    tree.check()


def test_a_payload_that_cannot_be_made_leaves_the_tree_sound() -> None:
    def fails(start: int, end: int) -> Tokens:
        raise MemoryError

    tree = joining((1, 2, 3))
    with pytest.raises(MemoryError):
        tree.insert((1, 2, 4), fails)
    tree.check()
    assert read(tree.match((1, 2, 3))) == (1, 2, 3)


def test_states_are_found_where_they_are_and_nowhere_between() -> None:
    tree: PrefixTree[State] = PrefixTree(standing_alone=True)
    assert insert_state(tree, (1, 2)) == 2
    assert insert_state(tree, (1, 2, 3, 4)) == 2
    found = tree.match((1, 2, 3, 9))
    assert (found.num_tokens, found.num_shared_tokens, found.goes_on) == (2, 3, True)
    assert found.payloads == (State((1, 2)),)
    assert insert_state(tree, (1, 2, 3, 4)) == 0
    tree.check()


def test_states_go_one_by_one_whatever_is_below_them() -> None:
    tree: PrefixTree[State] = PrefixTree(standing_alone=True)
    for prompt in ((1, 2), (1, 2, 3), (1, 2, 3, 4)):
        insert_state(tree, prompt)
    tree.touch(tree.match((1, 2)).nodes, 0.0)
    assert tree.evict(1, 0.0) == 7
    assert [tree.match(prompt).num_tokens for prompt in ((1, 2), (1, 2, 3), (1, 2, 3, 4))] == [2, 2, 4]
    tree.evict(1, 0.0)
    tree.evict(1, 0.0)
    assert tree.is_empty
    tree.check()


def test_the_check_sees_bytes_that_do_not_add_up() -> None:
    tree = joining((1, 2, 3))
    tree.match((1, 2, 3)).nodes[0].payload = Tokens(0, (1,))
    with pytest.raises(AssertionError, match="bytes do not add up"):
        tree.check()


PROMPTS = st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple)
LARGE = 10**9


class JoiningTree(RuleBasedStateMachine):
    """Against a set of all stored prefixes, each with when it was used last and what was wished of it."""

    prompts = Bundle("prompts")

    def __init__(self) -> None:
        super().__init__()
        self.tree: PrefixTree[Tokens] = PrefixTree()
        self.stored: set[tuple[int, ...]] = set()
        self.system: set[tuple[int, ...]] = set()
        self.held = ExitStack()
        self.pins: list[tuple[tuple[int, ...], tuple[Node[Tokens], ...]]] = []

    def longest(self, prompt: tuple[int, ...]) -> int:
        return max(length for length in range(len(prompt) + 1) if not length or prompt[:length] in self.stored)

    @rule(target=prompts, prompt=PROMPTS, cut=st.integers(0, 8))
    def inserts(self, prompt: tuple[int, ...], cut: int) -> object:
        assert insert(self.tree, prompt, cut) == len(prompt) - self.longest(prompt)
        self.stored |= {prompt[:length] for length in range(1, len(prompt) + 1)}
        return multiple(prompt)

    @rule(prompt=PROMPTS)
    def matches(self, prompt: tuple[int, ...]) -> None:
        found = self.tree.match(prompt)
        assert found.num_tokens == self.longest(prompt)
        assert read(found) == prompt[: found.num_tokens]
        longer = {each[: found.num_tokens] for each in self.stored if len(each) > found.num_tokens}
        assert found.goes_on == (prompt[: found.num_tokens] in longer)
        self.tree.touch(found.nodes, 0.0)

    @rule(prompt=prompts, length=st.integers(1, 8))
    def marks(self, prompt: tuple[int, ...], length: int) -> None:
        self.tree.mark(prompt[:length], is_system=True)
        self.system |= {prompt[:end] for end in range(1, length + 1)} & self.stored

    @rule(prompt=prompts)
    def pins_one(self, prompt: tuple[int, ...]) -> None:
        found = self.tree.match(prompt)
        self.held.enter_context(self.tree.pinned(found.nodes))
        self.pins.append((prompt[: found.num_tokens], found.nodes))

    @rule(num_bytes=st.integers(0, 60))
    def evicts(self, num_bytes: int) -> None:
        before = self.tree.num_bytes
        freed = self.tree.evict(num_bytes, 0.0)
        assert self.tree.num_bytes == before - freed
        left = {prompt for prompt in self.stored if self.tree.match(prompt).num_tokens == len(prompt)}
        gone, self.stored = self.stored - left, left
        self.system &= left
        assert freed == PER_TOKEN * len(gone)
        leaves = {prompt for prompt in left if not any(other[:-1] == prompt for other in left)}
        held = {prompt for prompt, _ in self.pins}
        free = {
            leaf
            for leaf in leaves
            if not any(prompt[: len(leaf)] == leaf or leaf[: len(prompt)] == prompt for prompt in held)
        }
        assert freed >= num_bytes or not free
        gone_system = any(prompt in self.system for prompt in gone)
        assert not gone_system or not (free - self.system)

    @rule()
    def releases(self) -> None:
        self.held.close()
        self.pins.clear()

    def teardown(self) -> None:
        self.held.close()

    @invariant()
    def is_sound(self) -> None:
        self.tree.check()
        assert self.tree.num_tokens == len(self.stored)
        assert all(self.tree.match(prompt).num_tokens == len(prompt) for prompt, _ in self.pins)


class TreeOfStates(RuleBasedStateMachine):
    """Against a set of the prompts whose states are stored."""

    def __init__(self) -> None:
        super().__init__()
        self.tree: PrefixTree[State] = PrefixTree(standing_alone=True)
        self.used: dict[tuple[int, ...], int] = {}
        self.time = 0

    def use(self, prompt: tuple[int, ...]) -> None:
        self.time += 1
        self.used[prompt] = self.time

    @rule(prompt=PROMPTS)
    def inserts(self, prompt: tuple[int, ...]) -> None:
        is_new = prompt not in self.used
        assert bool(insert_state(self.tree, prompt)) == is_new
        if is_new:
            self.use(prompt)

    @rule(prompt=PROMPTS)
    def matches(self, prompt: tuple[int, ...]) -> None:
        found = self.tree.match(prompt)
        best = max((each for each in self.used if prompt[: len(each)] == each), key=len, default=())
        assert found.num_tokens == len(best)
        assert found.payloads == ((State(best),) if best else ())
        self.tree.touch(found.nodes, 0.0)
        if best:
            self.use(best)

    @rule(num=st.integers(1, 4))
    def evicts(self, num: int) -> None:
        freed = self.tree.evict(7 * num, 0.0)
        for prompt in sorted(self.used, key=lambda each: self.used[each])[:num]:
            del self.used[prompt]
            freed -= 7
        assert freed == 0

    @invariant()
    def is_sound(self) -> None:
        self.tree.check()
        assert self.tree.num_bytes == 7 * len(self.used)


TestJoiningTree = JoiningTree.TestCase
TestTreeOfStates = TreeOfStates.TestCase
TestJoiningTree.settings = TestTreeOfStates.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
