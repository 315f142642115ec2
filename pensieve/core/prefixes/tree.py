"""A radix tree over token ids, at the granularity of a token: what is stored of prompts, each prefix once (C2).

What a node stands for is its payload. There are two kinds of tree:

- payloads that *join*: a node's payload covers the node's own tokens, and a prompt's is that of its path put together.
  A match may end anywhere. A node is evicted only after all below it, for they are worthless without it;
- payloads that *stand alone*: a payload is the whole state after the last token of its node, and many nodes have none.
  A match ends where such a payload is. Each is evicted by itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic

from pensieve.core.prefixes.common_prefix import common_prefix
from pensieve.core.prefixes.node import Node, P, PrefixMatch


class PrefixTree(Generic[P]):
    """Not for several threads at once. `evict` alone takes payloads away: what fits is the caller's to know."""

    def __init__(self, *, holds_snapshots: bool = False) -> None:
        self._holds_snapshots = holds_snapshots
        self._root: Node[P] = Node((), None)
        self._num_bytes = 0
        self._num_tokens = 0
        self._num_uses = 0

    @property
    def num_bytes(self) -> int:
        return self._num_bytes

    @property
    def num_tokens(self) -> int:
        """The tokens of all nodes: a shared prefix counts once."""
        return self._num_tokens

    @property
    def is_empty(self) -> bool:
        return not self._root.children

    def match(self, token_ids: Sequence[int]) -> PrefixMatch[P]:
        """The longest stored prefix. Changes nothing: see `touch`."""
        path, shared, into_last = self._walk(token_ids)
        has_continuation = into_last < len(path[-1].token_ids) or bool(path[-1].children)
        if not self._holds_snapshots:
            nodes = tuple(path[1:])
            payloads = tuple(node.payload for node in nodes if node.payload is not None)
            return PrefixMatch(shared, nodes, payloads, shared, has_continuation)
        end = shared
        if into_last < len(path[-1].token_ids):
            end -= into_last
            path.pop()
        for node in reversed(path):
            if node.payload is not None:
                return PrefixMatch(end, (node,), (node.payload,), shared, has_continuation)
            end -= len(node.token_ids)
        return PrefixMatch(0, (), (), shared, has_continuation)

    def touch(self, nodes: Iterable[Node[P]], now: float) -> None:
        """They are used now: the least recently used go first, and a time to live starts anew with each use."""
        for node in nodes:
            self._num_uses += 1
            node.last_used = self._num_uses
            if node.ttl_seconds:
                node.kept_until = max(node.kept_until, now + node.ttl_seconds)

    @contextmanager
    def pinned(self, nodes: Sequence[Node[P]]) -> Iterator[None]:
        """None of them is evicted meanwhile."""
        for node in nodes:
            node.num_pins += 1
        try:
            yield
        finally:
            for node in nodes:
                node.num_pins -= 1

    def cut(self, token_ids: Sequence[int], at: int) -> tuple[Node[P], ...]:
        """The nodes of the first `at` tokens, or of as many as are stored, with a node that ends right there."""
        path, _, into_last = self._walk(token_ids[:at])
        if into_last < len(path[-1].token_ids):
            path[-1] = self._split(path[-1], into_last)
        return tuple(path[1:])

    def insert(self, token_ids: Sequence[int], make: Callable[[int, int], P], cuts: Iterable[int] = ()) -> int:
        """Store a prompt; the number of tokens at its end that were not stored before.

        `make(start, end)` gives the payload of those tokens; of one that stands alone, the state after `end`. It is
        called for the new tokens only, once for each of the parts that end at `cuts` and at the end. An exception of
        its own leaves the tree sound, with the parts before it.
        """
        path = self.cut(token_ids, len(token_ids))
        node = path[-1] if path else self._root
        stored = position = sum(len(each.token_ids) for each in path)
        if self._holds_snapshots:
            return self._insert_state(token_ids, node, position, make)
        for end in sorted({cut for cut in cuts if position < cut < len(token_ids)} | {len(token_ids)}):
            if end > position:
                node = self._append(node, token_ids[position:end], make(position, end))
                position = end
        return len(token_ids) - stored

    def mark(
        self, token_ids: Sequence[int], *, is_system: bool = False, ttl_seconds: float = 0.0, now: float = 0.0
    ) -> None:
        """Have a stored prompt evicted later than others: last of all, or while its time to live is not over.

        Where payloads join, that goes for all of the prompt's tokens that are stored; where they stand alone, for the
        state at its end, if there is one.
        """
        nodes = self.cut(token_ids, len(token_ids))
        if self._holds_snapshots:
            found = self.match(token_ids)
            nodes = found.nodes if found.num_tokens == len(token_ids) else ()
        for node in nodes:
            node.is_system |= is_system
            node.ttl_seconds = max(node.ttl_seconds, ttl_seconds)
            node.kept_until = max(node.kept_until, now + ttl_seconds if ttl_seconds else 0.0)

    def evict(self, num_bytes: int, now: float) -> int:
        """Take payloads away until `num_bytes` are free or none is left that is not pinned; the bytes freed.

        First go those that nobody asked to keep, then those whose time to live is not over at `now`, then system
        prefixes; among equals the least recently used.
        """
        freed = 0
        heap = [self._order(node, now) for node in self._nodes() if self._can_go(node)] if num_bytes > 0 else []
        heapq.heapify(heap)
        while heap and freed < num_bytes:
            node = heapq.heappop(heap)[-1]
            freed += node.num_bytes
            parent = self._remove(node)
            if not self._holds_snapshots and parent is not None and self._can_go(parent):
                heapq.heappush(heap, self._order(parent, now))
        return freed

    def check(self) -> None:
        """Raises:
        AssertionError: the tree is not what it should be; the message says in what.
        """
        nodes = list(self._nodes())
        _require(self._root.payload is None, "the root holds something")
        _require(sum(node.num_bytes for node in nodes) == self._num_bytes, "bytes do not add up")
        _require(sum(len(node.token_ids) for node in nodes) == self._num_tokens, "tokens do not add up")
        for node in nodes:
            _require(bool(node.token_ids), "a node is without tokens")
            _require(node.num_pins >= 0, "a node was released more often than pinned")
            parent = node.parent
            _require(
                parent is not None and parent.children.get(node.token_ids[0]) is node, "a node is in a wrong place"
            )
            needed = not (self._holds_snapshots and node.children)
            _require(node.payload is not None or not needed, "a node has nothing and leads to nothing")

    def _walk(self, token_ids: Sequence[int]) -> tuple[list[Node[P]], int, int]:
        """The nodes along a prompt from the root, the tokens gone, and how many of them are the last node's."""
        path, position, into_last = [self._root], 0, 0
        while into_last == len(path[-1].token_ids) and position < len(token_ids):
            child = path[-1].children.get(token_ids[position])
            if child is None:
                break
            into_last = common_prefix(child.token_ids, tuple(token_ids[position : position + len(child.token_ids)]))
            position += into_last
            path.append(child)
        return path, position, into_last

    def _split(self, node: Node[P], at: int) -> Node[P]:
        """Put a new node before `node` that takes its first `at` tokens; the new one.

        The old one stays what it was at its end: whoever pinned it keeps the new one too, for it has a child now.
        """
        parent = node.parent
        if parent is None:
            return node
        head: Node[P] = Node(node.token_ids[:at], parent, None, {node.token_ids[at]: node}, node.last_used)
        if not self._holds_snapshots and node.payload is not None:
            head.payload, node.payload = node.payload.split(at)
            head.is_system, head.ttl_seconds, head.kept_until = node.is_system, node.ttl_seconds, node.kept_until
        node.token_ids, node.parent = node.token_ids[at:], head
        parent.children[head.token_ids[0]] = head
        return head

    def _append(self, parent: Node[P], token_ids: Sequence[int], payload: P) -> Node[P]:
        node = Node(tuple(token_ids), parent, payload)
        parent.children[node.token_ids[0]] = node
        self._num_tokens += len(node.token_ids)
        self._num_bytes += node.num_bytes
        self.touch([node], 0.0)
        return node

    def _insert_state(
        self, token_ids: Sequence[int], node: Node[P], position: int, make: Callable[[int, int], P]
    ) -> int:
        before = self.match(token_ids).num_tokens
        if not token_ids or before == len(token_ids):
            return 0
        try:
            payload = make(before, len(token_ids))
        except BaseException:
            self._prune(node)  # a cut may have left a node that leads to nothing new
            raise
        if position < len(token_ids):
            self._append(node, token_ids[position:], payload)
        else:
            node.payload = payload
            self._num_bytes += payload.num_bytes
            self.touch([node], 0.0)
        return len(token_ids) - before

    def _remove(self, node: Node[P]) -> Node[P] | None:
        """Take a node's payload away, and the node with it unless it leads further; its parent."""
        self._num_bytes -= node.num_bytes
        node.payload, node.is_system, node.ttl_seconds, node.kept_until = None, False, 0.0, 0.0
        parent = node.parent
        self._prune(node)
        return parent

    def _prune(self, node: Node[P]) -> None:
        """Drop a node that holds nothing and leads to nothing, and those above it that then do."""
        while node.parent is not None and node.payload is None and not node.children:
            parent = node.parent
            del parent.children[node.token_ids[0]]
            self._num_tokens -= len(node.token_ids)
            node = parent

    def _can_go(self, node: Node[P]) -> bool:
        return node.payload is not None and not node.num_pins and (self._holds_snapshots or not node.children)

    def _order(self, node: Node[P], now: float) -> tuple[int, int, int, Node[P]]:
        return node.rank(now), node.last_used, id(node), node

    def _nodes(self) -> Iterator[Node[P]]:
        """All but the root."""
        waiting = list(self._root.children.values())
        while waiting:
            node = waiting.pop()
            waiting.extend(node.children.values())
            yield node


def _require(condition: bool, what: str) -> None:  # noqa: FBT001 - as an assertion, but not one that -O takes away
    if not condition:
        raise AssertionError(f"the prefix tree is broken: {what}")
