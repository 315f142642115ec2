"""Finds the end of a JSON object in text that arrives in pieces."""

from __future__ import annotations


class JsonObjectExtent:
    """Counts braces and brackets outside strings, without validating the JSON."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.is_closed = False

    def feed(self, text: str) -> int:
        """The number of characters of `text` that belong to the object."""
        for index, character in enumerate(text):
            if self.is_closed:
                return index
            self._see(character)
        return len(text)

    def _see(self, character: str) -> None:
        if self._in_string:
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self._in_string = False
        elif character == '"':
            self._in_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            self.is_closed = self._depth == 0
