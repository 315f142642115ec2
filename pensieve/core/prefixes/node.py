"""What a prefix tree is made of, and what it finds: nodes and their payloads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar


class Payload(Protocol):
    """A value that is never changed."""

    @property
    def num_bytes(self) -> int: ...

    def split(self, at: int) -> tuple[Self, Self]:
        """The first `at` tokens' part and the rest's; their bytes add up. Not asked of one that stands alone."""
        ...


P = TypeVar("P", bound=Payload)


@dataclass(slots=True, eq=False)
class Node(Generic[P]):
    """`token_ids` are those since the parent's; the root alone has none. Only the tree changes a node."""

    token_ids: tuple[int, ...]
    parent: Node[P] | None
    payload: P | None = None
    children: dict[int, Node[P]] = field(default_factory=dict)
    """By their first token."""
    last_used: int = 0
    num_pins: int = 0
    is_system: bool = False
    ttl_seconds: float = 0.0
    kept_until: float = 0.0

    @property
    def num_bytes(self) -> int:
        return 0 if self.payload is None else self.payload.num_bytes

    def rank(self, now: float) -> int:
        """The lower, the earlier it goes: nobody's wish, a time to live that is not over, a system prefix."""
        return 2 if self.is_system else int(self.kept_until > now)


@dataclass(frozen=True, slots=True)
class PrefixMatch(Generic[P]):
    """What the tree holds of a prompt. The payloads stay what they are, whatever becomes of the tree."""

    num_tokens: int
    """What the payloads give."""
    nodes: tuple[Node[P], ...]
    payloads: tuple[P, ...]
    """Of joining ones, the last may reach beyond `num_tokens`."""
    num_shared_tokens: int
    """How far any stored prompt goes along with this one: `num_tokens`, or more where payloads stand alone."""
    has_continuation: bool
    """Whether a stored prompt goes on from there (differently, unless the prompt ended)."""
