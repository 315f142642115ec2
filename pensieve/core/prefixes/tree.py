"""A radix tree over token ids that stores each common prefix of the prompts once (C2).

A tree holds one of two kinds of payload:

- *segments*: a node's payload covers the node's own tokens, and a prompt's payload is its path joined. A match may end
  at any token. A node is evicted after all its descendants, which are useless without it;
- *snapshots*: a payload is the state after its node's last token, and many nodes have none. A match ends at a snapshot.
  Each is evicted on its own. Layers that keep all tokens have the same keys and values in each snapshot of a prompt:
  those are segments, which all snapshots at or below a node share, and which are freed with the last of them.

Each namespace has a root of its own: what is stored in one is never found in another, while all are evicted as one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic

from pensieve.core.prefixes.node import (
    Node,
    P,
    PrefixMatch,
    descendants,
    paths_to_ends,
    pin,
    segments_to,
    split,
    walk,
)


class PrefixTree(Generic[P]):
    """Not thread-safe. Only `evict` removes payloads: the caller decides how many bytes may be stored."""

    def __init__(self, *, holds_snapshots: bool = False) -> None:
        self._holds_snapshots = holds_snapshots
        self._roots: dict[str, Node[P]] = {}
        self._num_bytes = 0
        self._num_tokens = 0
        self._num_uses = 0

    @property
    def num_bytes(self) -> int:
        return self._num_bytes

    @property
    def num_tokens(self) -> int:
        """The tokens of all nodes; a shared prefix counts once."""
        return self._num_tokens

    def is_empty(self, namespace: str = "") -> bool:
        return not self._root(namespace).children

    def match(self, token_ids: Sequence[int], *, namespace: str = "") -> PrefixMatch[P]:
        """The longest stored prefix. Does not count as a use; call `touch` for that."""
        path, shared, into_last = walk(self._root(namespace), token_ids)
        has_continuation = into_last < len(path[-1].token_ids) or bool(path[-1].children)
        if not self._holds_snapshots:
            nodes = tuple(path[1:])
            payloads = tuple(node.payload for node in nodes if node.payload is not None)
            return PrefixMatch(shared, nodes, payloads, shared, has_continuation)
        for node in reversed(path if into_last == len(path[-1].token_ids) else path[:-1]):
            if node.payload is not None:
                return PrefixMatch(node.end, (node,), (*segments_to(node), node.payload), shared, has_continuation)
        return PrefixMatch(0, (), (), shared, has_continuation)

    def path(self, token_ids: Sequence[int], namespace: str) -> tuple[Node[P], ...]:
        """The nodes that share tokens with a prompt, in order, with or without payloads."""
        return tuple(walk(self._root(namespace), token_ids)[0][1:])

    def touch(self, nodes: Iterable[Node[P]], now: float, *, is_read: bool = False) -> None:
        """Record a use: the least recently used nodes are evicted first, and each use restarts a time to live."""
        for node in nodes:
            self._num_uses += 1
            node.was_read |= is_read
            node.last_used = self._num_uses
            if node.ttl_seconds:
                node.kept_until = max(node.kept_until, now + node.ttl_seconds)

    def ends(self) -> list[tuple[str, tuple[Node[P], ...]]]:
        """Namespaces and `paths_to_ends` in them."""
        return [
            (namespace, path)
            for namespace, root in self._roots.items()
            for path in paths_to_ends(root, holds_snapshots=self._holds_snapshots)
        ]

    @contextmanager
    def pinned(self, nodes: Sequence[Node[P]]) -> Iterator[None]:
        """Keep the nodes from being evicted within the block."""
        pin(nodes)
        try:
            yield
        finally:
            self.unpin(nodes)

    def unpin(self, nodes: Sequence[Node[P]]) -> None:
        """Remove those of a path that nothing has needed since they were pinned."""
        for node in reversed(nodes):
            node.num_pins -= 1
            self._prune(node)

    def cut(self, token_ids: Sequence[int], at: int, *, namespace: str = "") -> tuple[Node[P], ...]:
        """The nodes of the first `at` tokens that are stored, split so that a node ends exactly there."""
        path, _, into_last = walk(self._root(namespace), token_ids[:at])
        if into_last < len(path[-1].token_ids):
            path[-1] = split(path[-1], into_last, holds_snapshots=self._holds_snapshots)
        return tuple(path[1:])

    def insert(
        self,
        token_ids: Sequence[int],
        make: Callable[[int, int], P | None],
        cuts: Iterable[int] = (),
        *,
        snapshot: P | None = None,
        namespace: str = "",
    ) -> int:
        """Store a prompt and return how many of its tokens are new.

        `make(start, end)` returns the segment of those tokens. Segments are made for new tokens only, one up to each of
        `cuts` and one up to the end. If `make` raises, the tree stays consistent and keeps the segments made before. In
        a tree of snapshots, the prompt ends with `snapshot`, and there may be no segments: then `make` returns None.
        """
        path = self.cut(token_ids, len(token_ids), namespace=namespace)
        node = path[-1] if path else self._roots.setdefault(namespace, Node((), None))
        before = stored = position = sum(len(each.token_ids) for each in path)
        if self._holds_snapshots:
            before = self.match(token_ids, namespace=namespace).num_tokens
        if before == len(token_ids):
            return 0
        try:
            for end in sorted({cut for cut in (*cuts, len(token_ids)) if stored < cut <= len(token_ids)}):
                node = self._append(node, token_ids[position:end], make(position, end))
                position = end
            if snapshot is not None:
                node.payload = snapshot
                self._num_bytes += snapshot.num_bytes
                self.touch([node], 0.0)
        except BaseException:
            self._prune(node)  # the cut may have left a leaf without a snapshot
            raise
        return len(token_ids) - before

    def mark(
        self,
        token_ids: Sequence[int],
        *,
        is_system: bool = False,
        ttl_seconds: float = 0.0,
        now: float = 0.0,
        namespace: str = "",
    ) -> None:
        """Protect a stored prompt from eviction: within its time to live, or as a system prefix until the very last.

        Applies to all stored segments of the prompt, or to the snapshot at its end if there is one.
        """
        nodes = self.cut(token_ids, len(token_ids), namespace=namespace)
        if self._holds_snapshots:
            found = self.match(token_ids, namespace=namespace)
            nodes = found.nodes if found.num_tokens == len(token_ids) else ()
        for node in nodes:
            node.is_system |= is_system
            node.ttl_seconds = max(node.ttl_seconds, ttl_seconds)
            node.kept_until = max(node.kept_until, now + ttl_seconds if ttl_seconds else 0.0)

    def mark_edge(self, token_ids: Sequence[int], *, namespace: str = "") -> None:
        """Evict the snapshot at the end of these stored tokens before others, until it is read."""
        self.cut(token_ids, len(token_ids), namespace=namespace)[-1].is_edge = True

    def evict(self, num_bytes: int, now: float) -> int:
        """Remove payloads until `num_bytes` are freed or only pinned ones are left; returns the bytes freed.

        Edges are removed first, those that save least tokens per byte before others; then unprotected payloads, those
        within their time to live at `now`, and system prefixes, each the least recently used first.
        """
        before = self._num_bytes
        nodes = descendants(self._roots.values()) if num_bytes > 0 else ()
        heap = [_eviction_order(node, now) for node in nodes if self._is_evictable(node)]
        heapq.heapify(heap)
        while heap and before - self._num_bytes < num_bytes:
            parent = self._remove(heapq.heappop(heap)[-1])
            if not self._holds_snapshots and parent is not None and self._is_evictable(parent):
                heapq.heappush(heap, _eviction_order(parent, now))
        return before - self._num_bytes

    def check(self) -> None:
        """
        Raises:
            AssertionError: the tree is inconsistent; the message says how.
        """
        nodes = list(descendants(self._roots.values()))
        _check_sums(nodes, self._num_bytes, self._num_tokens)
        _check_nodes(nodes, holds_snapshots=self._holds_snapshots)

    def _root(self, namespace: str) -> Node[P]:
        return self._roots.get(namespace) or Node((), None)  # not kept: reading changes nothing

    def _append(self, parent: Node[P], token_ids: Sequence[int], segment: P | None) -> Node[P]:
        node: Node[P] = Node(tuple(token_ids), parent)
        if self._holds_snapshots:
            node.segment = segment
        else:
            node.payload = segment
        parent.children[node.token_ids[0]] = node
        self._num_tokens += len(node.token_ids)
        self._num_bytes += node.num_bytes
        self.touch([node], 0.0)
        return node

    def _remove(self, node: Node[P]) -> Node[P] | None:
        """Remove a node's payload, and the node if it has no children; returns its parent."""
        self._num_bytes -= node.payload.num_bytes if node.payload is not None else 0
        node.payload, node.is_system, node.is_edge, node.ttl_seconds, node.kept_until = None, False, False, 0.0, 0.0
        parent = node.parent
        self._prune(node)
        return parent

    def _prune(self, node: Node[P]) -> None:
        """Remove a leaf without a payload that is not pinned, then each ancestor that becomes one."""
        while node.parent is not None and node.payload is None and not node.children and not node.num_pins:
            parent = node.parent
            if parent.children.get(node.token_ids[0]) is not node:
                return  # it has been removed before
            del parent.children[node.token_ids[0]]
            self._num_bytes -= node.num_bytes
            self._num_tokens -= len(node.token_ids)
            node = parent

    def _is_evictable(self, node: Node[P]) -> bool:
        return node.payload is not None and not node.num_pins and (self._holds_snapshots or not node.children)


def _eviction_order(node: Node[P], now: float) -> tuple[int, float, int, int, Node[P]]:
    rank = node.rank(now)
    return rank, node.saved_per_byte if rank < 0 else 0.0, node.last_used, id(node), node


def _check_sums(nodes: Sequence[Node[P]], num_bytes: int, num_tokens: int) -> None:
    _require(sum(node.num_bytes for node in nodes) == num_bytes, "bytes do not add up")
    _require(sum(len(node.token_ids) for node in nodes) == num_tokens, "tokens do not add up")


def _check_nodes(nodes: Sequence[Node[P]], *, holds_snapshots: bool) -> None:
    for node in nodes:
        _require(bool(node.token_ids), "a node has no tokens")
        _require(node.num_pins >= 0, "a node was unpinned more often than pinned")
        is_child = node.parent is not None and node.parent.children.get(node.token_ids[0]) is node
        _require(is_child, "a node is not among its parent's children")
        may_lack_payload = holds_snapshots and node.children
        _require(node.payload is not None or bool(may_lack_payload), "a node lacks its payload")


def _require(condition: bool, what: str) -> None:  # noqa: FBT001 - an assertion that -O does not remove
    if not condition:
        raise AssertionError(f"the prefix tree is inconsistent: {what}")
