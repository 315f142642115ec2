"""The nodes of a prefix tree, their payloads, and the result of a match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

from pensieve.core.prefixes.common_prefix import common_prefix


class Payload(Protocol):
    """What a node stores. Immutable."""

    @property
    def num_bytes(self) -> int: ...

    def split(self, at: int) -> tuple[Self, Self]:
        """The payloads of the first `at` tokens and of the rest, whose bytes add up. Never called on a snapshot."""
        ...


P = TypeVar("P", bound=Payload)


@dataclass(slots=True, eq=False)
class Node(Generic[P]):
    """`token_ids` continue the parent's; only the root has none. Only the tree may change a node."""

    token_ids: tuple[int, ...]
    parent: Node[P] | None
    payload: P | None = None
    segment: P | None = None
    """In a tree of snapshots: what the node's own tokens add to a snapshot at its end or later."""
    children: dict[int, Node[P]] = field(default_factory=dict)
    """Keyed by their first token."""
    last_used: int = 0
    num_pins: int = 0
    is_system: bool = False
    is_edge: bool = False
    """Whether it is a state between boundaries, kept in case it is needed (`states`)."""
    was_read: bool = False
    """Whether a later prompt continued from here."""
    ttl_seconds: float = 0.0
    kept_until: float = 0.0

    @property
    def num_bytes(self) -> int:
        return sum(part.num_bytes for part in (self.payload, self.segment) if part is not None)

    def rank(self, now: float) -> int:
        """The order of eviction, lowest first: edges that were never read, plain nodes, those within their time to
        live, system prefixes.
        """
        rank = 2 if self.is_system else int(self.kept_until > now)
        return -1 if self.is_unread_edge and not rank else rank

    @property
    def end(self) -> int:
        """The number of tokens from the prompt's start to the node's end."""
        return sum(len(node.token_ids) for node in path_to(self))

    @property
    def is_unread_edge(self) -> bool:
        return self.is_edge and not self.was_read

    @property
    def saved_per_byte(self) -> float:
        """The tokens since the last payload before this one, per byte of the payload: what is lost with it."""
        num_tokens, node = len(self.token_ids), self.parent
        while node is not None and node.payload is None:
            num_tokens, node = num_tokens + len(node.token_ids), node.parent
        return num_tokens / max(1, self.payload.num_bytes if self.payload is not None else 0)


@dataclass(frozen=True, slots=True)
class PrefixMatch(Generic[P]):
    """The longest stored prefix of a prompt. Its payloads stay valid when the tree changes."""

    num_tokens: int
    """The tokens that the payloads cover."""
    nodes: tuple[Node[P], ...]
    payloads: tuple[P, ...]
    """The last segment may reach beyond `num_tokens`. A snapshot comes after the segments that belong to it."""
    num_shared_tokens: int
    """The longest prefix shared with any stored prompt; more than `num_tokens` if no snapshot lies at its end."""
    has_continuation: bool
    """Whether a stored prompt continues after the shared prefix: with other tokens, unless this prompt ends there."""

    @property
    def ends_at_unread_edge(self) -> bool:
        return bool(self.nodes) and self.nodes[-1].is_unread_edge

    @property
    def was_read(self) -> bool:
        """Whether another prompt has continued from there."""
        return bool(self.nodes) and self.nodes[-1].was_read


def walk(root: Node[P], token_ids: Sequence[int]) -> tuple[list[Node[P]], int, int]:
    """The nodes along a prompt from the root, the number of tokens matched, and how many of those the last node has."""
    path, position, into_last = [root], 0, 0
    while into_last == len(path[-1].token_ids) and position < len(token_ids):
        child = path[-1].children.get(token_ids[position])
        if child is None:
            break
        into_last = common_prefix(child.token_ids, tuple(token_ids[position : position + len(child.token_ids)]))
        position += into_last
        path.append(child)
    return path, position, into_last


def descendants(roots: Iterable[Node[P]]) -> Iterator[Node[P]]:
    pending = [node for root in roots for node in root.children.values()]
    while pending:
        node = pending.pop()
        pending.extend(node.children.values())
        yield node


def split(node: Node[P], at: int, *, holds_snapshots: bool) -> Node[P]:
    """Insert and return a parent of `node` that takes over its first `at` tokens.

    `node` keeps its identity and its end, so a pin on it also keeps the new parent, which is no longer a leaf.
    """
    parent = node.parent
    if parent is None:
        return node
    head: Node[P] = Node(node.token_ids[:at], parent, children={node.token_ids[at]: node}, last_used=node.last_used)
    head.was_read = node.was_read
    if node.segment is not None:
        head.segment, node.segment = node.segment.split(at)
    if not holds_snapshots and node.payload is not None:
        head.payload, node.payload = node.payload.split(at)
        head.is_system, head.ttl_seconds, head.kept_until = node.is_system, node.ttl_seconds, node.kept_until
    node.token_ids, node.parent = node.token_ids[at:], head
    parent.children[head.token_ids[0]] = head
    return head


def paths_to_ends(root: Node[P], *, holds_snapshots: bool) -> list[tuple[Node[P], ...]]:
    """The paths to the ends of the stored prompts, the latest use first. Snapshots that begin others do not contain
    them: so also the paths to those of system text, and to those that a prompt continued from last.
    """

    def is_end(node: Node[P]) -> bool:
        if node.payload is None or not node.children:
            return node.payload is not None
        return holds_snapshots and (node.is_system or (node.was_read and not _is_read_below(node)))

    ends = sorted(filter(is_end, descendants([root])), key=lambda node: -node.last_used)
    return [path_to(node) for node in ends]


def _is_read_below(node: Node[P]) -> bool:
    return any(each.was_read and each.payload is not None for each in descendants([node]))


def pin(nodes: Iterable[Node[P]]) -> None:
    """Keep nodes from being evicted until the tree's `unpin`."""
    for node in nodes:
        node.num_pins += 1


def segments_to(node: Node[P]) -> tuple[P, ...]:
    """The segments of a snapshot, from the prompt's start to this node."""
    return tuple(each.segment for each in path_to(node) if each.segment is not None)


def path_to(node: Node[P]) -> tuple[Node[P], ...]:
    """The nodes from below the root to this one."""
    path: list[Node[P]] = []
    while node.parent is not None:
        path.append(node)
        node = node.parent
    return tuple(reversed(path))
