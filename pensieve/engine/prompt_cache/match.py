"""What the prompt cache has of one prompt, and why it does not have more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class MissReason(Enum):
    """Why a match ends where it does."""

    EMPTY = "the cache is empty"
    DIFFERS = "the cached prompts continue differently"
    ENDS = "the cached prompt ends here"
    NONE = "only the last token is left"


@dataclass(frozen=True)
class Match:
    """`caches` are the request's own, of mlx-lm's types; None if no token matches."""

    num_tokens: int
    caches: list[Any] | None
    reason: MissReason
    from_disk_tokens: int = 0
