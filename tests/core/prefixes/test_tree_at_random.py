"""The prefix tree through random operations, against a plain set of prefixes."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from pensieve.core.prefixes.node import Node
from pensieve.core.prefixes.tree import PrefixTree
from tests.core.prefixes.test_tree import PER_TOKEN, Snapshot, Tokens, insert, insert_both, read

PROMPTS = st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple)
LARGE = 10**9


class SegmentTree(RuleBasedStateMachine):
    """A tree of segments against a set of all stored prefixes."""

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
        assert found.has_continuation == (prompt[: found.num_tokens] in longer)
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
    def is_consistent(self) -> None:
        self.tree.check()
        assert self.tree.num_tokens == len(self.stored)
        assert all(self.tree.match(prompt).num_tokens == len(prompt) for prompt, _ in self.pins)


class SnapshotTree(RuleBasedStateMachine):
    """A tree of snapshots with shared segments against a set of the stored prompts."""

    def __init__(self) -> None:
        super().__init__()
        self.tree: PrefixTree[Tokens | Snapshot] = PrefixTree(holds_snapshots=True)
        self.used: dict[tuple[int, ...], int] = {}
        self.time = 0

    def use(self, prompt: tuple[int, ...]) -> None:
        self.time += 1
        self.used[prompt] = self.time

    @property
    def num_bytes(self) -> int:
        prefixes = {prompt[: end + 1] for prompt in self.used for end in range(len(prompt))}
        return 7 * len(self.used) + PER_TOKEN * len(prefixes)

    @rule(prompt=PROMPTS)
    def inserts(self, prompt: tuple[int, ...]) -> None:
        is_new = prompt not in self.used
        assert bool(insert_both(self.tree, prompt)) == is_new
        if is_new:
            self.use(prompt)

    @rule(prompt=PROMPTS)
    def matches(self, prompt: tuple[int, ...]) -> None:
        found = self.tree.match(prompt)
        best = max((each for each in self.used if prompt[: len(each)] == each), key=len, default=())
        assert found.num_tokens == len(best)
        assert found.payloads[-1:] == ((Snapshot(best),) if best else ())
        segments = [each for each in found.payloads[:-1] if isinstance(each, Tokens)]
        assert tuple(token for each in segments for token in each.token_ids) == best
        self.tree.touch(found.nodes, 0.0)
        if best:
            self.use(best)

    @rule(num_bytes=st.integers(1, 60))
    def evicts(self, num_bytes: int) -> None:
        before = self.num_bytes
        freed = self.tree.evict(num_bytes, 0.0)
        for prompt in sorted(self.used, key=lambda each: self.used[each]):
            if before - self.num_bytes < num_bytes:
                del self.used[prompt]
        assert freed == before - self.num_bytes

    @invariant()
    def is_consistent(self) -> None:
        self.tree.check()
        assert self.tree.num_bytes == self.num_bytes


TestSegmentTree = SegmentTree.TestCase
TestSnapshotTree = SnapshotTree.TestCase
TestSegmentTree.settings = TestSnapshotTree.settings = settings(
    max_examples=settings().max_examples * 3 // 2, stateful_step_count=30, deadline=None
)
