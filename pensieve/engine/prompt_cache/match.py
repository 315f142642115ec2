"""What the prompt cache holds of one prompt, and why it does not hold more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class MissReason(Enum):
    """Why a match ended where it did."""

    EMPTY = "nothing is stored"
    DIFFERS = "a stored prompt goes on differently here"
    ENDS = "what is stored ends here"
    NONE = "only the last token was left"


@dataclass(frozen=True)
class Match:
    """What is known of a prompt. `caches` are the request's own, in mlx-lm's form; None where nothing is known."""

    num_tokens: int
    caches: list[Any] | None
    reason: MissReason
    from_disk_tokens: int = 0
