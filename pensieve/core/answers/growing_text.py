"""Text that grows piece by piece."""

from __future__ import annotations


class GrowingText:
    """Adding takes constant time, where adding to a string of an object copies all of it."""

    __slots__ = ("_parts", "length")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.length = 0

    def __str__(self) -> str:
        self._parts = ["".join(self._parts)]
        return self._parts[0]

    def __bool__(self) -> bool:
        return self.length > 0

    def add(self, text: str) -> None:
        self._parts.append(text)
        self.length += len(text)

    def take(self) -> str:
        """The text, which is empty from now on."""
        text = str(self)
        self._parts, self.length = [], 0
        return text
