"""Writes answers to the terminal, or to a file or pipe."""

from __future__ import annotations

import os
import sys
from typing import Final

_CONTROLS: Final = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""A model's text must not move the cursor, set the window's title or write to the clipboard."""
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class Screen:
    """On a terminal, thinking is shown in grey; elsewhere only the text of an answer is written."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._has_colours = self.is_terminal and "NO_COLOR" not in os.environ
        self._last = ("", "")

    def show(self, kind: str, text: str) -> None:
        """A part of an answer: "text" or "thinking"."""
        if not self.is_terminal:
            if kind == "text":
                self._write(kind, text)
            return
        text = text.translate(_CONTROLS)
        if self._last[0] == "thinking" and kind == "text":
            self._write(kind, self._plain() + "\n\n")
            text = text.lstrip("\n")
        elif kind == "thinking" and self._last[0] != kind and self._has_colours:
            self._write(kind, _DIM)
        self._write(kind, text)

    def end(self) -> None:
        """End the answer's last line."""
        kind, text = self._last
        if kind == "thinking":
            sys.stdout.write(self._plain())
        if text and not text.endswith("\n"):
            sys.stdout.write("\n")
        sys.stdout.flush()
        self._last = ("", "")

    def _plain(self) -> str:
        return _PLAIN if self._has_colours else ""

    def _write(self, kind: str, text: str) -> None:
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._last = (kind, text)


def note(text: str) -> None:
    """What is not part of an answer goes to stderr, so that a pipe has the answer alone."""
    print(text, file=sys.stderr, flush=True)
