"""What it is worth to write a prompt to disk: when it is written, and how much of a day's writes it may take (C2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

MIN_TOKENS: Final = 64
"""A shorter prompt is never written: computing it again takes no longer than finding and reading its file."""
SOON_TOKENS: Final = 1024
"""A prompt of this length is written as soon as it is computed. A shorter one waits for its second use, or for the
server to stop: after a kill it is computed again.
"""


class Worth(Enum):
    """The value is the share of a day's writes up to which such a prefix is written.

    So what is worth most is still written when the rest is not. The fixed order needs no knowledge of what will come.
    """

    SHORT = 0.25
    LONG = 0.5
    SYSTEM = 0.75
    """Tools and system text, which other conversations of the client share."""
    READ_AGAIN = 1.0
    """Of a conversation that has already continued from the cache."""


@dataclass(frozen=True, slots=True)
class PromptWorth:
    """`num_read` leading tokens have been read from the cache before, and the first `system_tokens` are tools and
    system text.
    """

    num_tokens: int
    num_read: int = 0
    system_tokens: int = 0

    def of(self, end: int) -> Worth:
        """The worth of a part that ends after `end` tokens."""
        if self.num_read >= self.system_tokens + MIN_TOKENS:
            return Worth.READ_AGAIN
        if self.num_tokens < SOON_TOKENS:
            return Worth.SHORT
        return Worth.SYSTEM if end <= self.system_tokens else Worth.LONG


def is_snapshot_due(num_tokens: int, num_stored: int, state_bytes: int, bytes_per_token: int) -> bool:
    """Whether to write a snapshot now, where the longest one on disk has `num_stored` of its tokens.

    A state replaces none, so one at every turn would write far more than what the conversation adds. It is due where
    the layers that can be cut add as much as the state takes, or a quarter of the conversation is new.
    """
    num_worth = state_bytes // bytes_per_token if bytes_per_token else num_tokens
    return num_tokens - num_stored >= max(SOON_TOKENS, min(num_worth, num_tokens // 4))
