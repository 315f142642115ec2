"""The messages that count, each with its place in the request, by which errors name it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pensieve.api.anthropic.wire.blocks import Block, CompactionBlock
from pensieve.api.anthropic.wire.bodies import WireMessage
from pensieve.core.prompts.canonical import cache_ttl_seconds, longest_ttl


@dataclass(frozen=True, slots=True)
class PlacedMessage:
    """`first` is the number of the first block that counts."""

    number: int
    message: WireMessage
    first: int = 0

    @property
    def path(self) -> str:
        return f"messages.{self.number}.content"

    @property
    def is_user(self) -> bool:
        return self.message.role == "user"

    @property
    def is_system(self) -> bool:
        return self.message.role == "system"

    @property
    def blocks(self) -> list[Block]:
        content = self.message.content
        return content[self.first :] if isinstance(content, list) else []

    def placed_blocks(self) -> Iterator[tuple[str, Block]]:
        """Each block with its path in the request."""
        for number, block in enumerate(self.blocks, self.first):
            yield f"{self.path}.{number}", block


def since_compaction(messages: Sequence[WireMessage]) -> list[PlacedMessage]:
    """The messages from the last summary on, which replaces everything before it.

    Source: Anthropic's documentation, "Compaction at a token threshold": content blocks before the compaction block are
    dropped. The SDK's BetaCompactionBlockParam: a block without content stands for a compaction that failed.
    """
    for number in range(len(messages) - 1, -1, -1):
        content = messages[number].content
        blocks = content if isinstance(content, list) else []
        for first in range(len(blocks) - 1, -1, -1):
            block = blocks[first]
            if isinstance(block, CompactionBlock) and block.content is not None:
                start = PlacedMessage(number, messages[number], first)
                return [start, *(PlacedMessage(at, messages[at]) for at in range(number + 1, len(messages)))]
    return [PlacedMessage(number, message) for number, message in enumerate(messages)]


def ttl_seconds(blocks: Iterable[Block]) -> int | None:
    """The longest TTL that any block of the turn requests. A cached prompt always ends with a whole turn."""
    return longest_ttl(*(cache_ttl_seconds(block.cache_control) for block in blocks))
