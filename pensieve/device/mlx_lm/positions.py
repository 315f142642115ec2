"""The positions of the next tokens of several rows, as one array that all layers of a pass share."""

from __future__ import annotations

from typing import Final

import mlx.core as mx

Lengths = tuple[int, ...]
"""How many tokens each row has."""

_KEPT: Final = 8


class SharedPositions:
    """Callable from any thread."""

    def __init__(self) -> None:
        self._recent: tuple[tuple[Lengths, mx.array], ...] = ()

    def array(self, lengths: Lengths) -> mx.array:
        """int32 [rows]. It must not be changed."""
        for known, array in reversed(self._recent):  # a plain loop: each layer of each step looks twice
            if known == lengths:
                return array
        made = mx.array(lengths)
        self._recent = (*self._recent[1 - _KEPT :], (lengths, made))
        return made

    def lengths(self, array: mx.array) -> Lengths | None:
        """What `array` was made of; None if it was not made here recently."""
        return next((lengths for lengths, known in self._recent if known is array), None)


POSITIONS: Final = SharedPositions()
