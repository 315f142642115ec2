"""What wants to see the passes of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pensieve.engine.decoding.row import Row


class PassObserver(Protocol):
    def observe(self, rows: Sequence[Row], num_tokens: Sequence[int]) -> None:
        """A pass has started, of which row i keeps the first `num_tokens[i]` tokens."""

    def finish_chunks(self, rows: Sequence[Row]) -> None:
        """A pass over chunks of prompts has been computed."""
