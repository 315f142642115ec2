"""What other threads do while a tokenizer works, counted in events: no verdict depends on the machine's speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

ENOUGH = 20
"""Events: more than happen between two lines of Python, also if the tokenizer holds the interpreter's lock."""


class WatchedTokenizer:
    """A `tokenizers.Tokenizer` that counts the events that happen while it works."""

    def __init__(self, backend: Any, num_events: Callable[[], int]) -> None:
        self._backend, self._num_events, self.num_meanwhile = backend, num_events, 0

    def __getattr__(self, name: str) -> Callable[..., object]:
        def work(*arguments: object, **options: object) -> object:
            before = self._num_events()
            result: object = getattr(self._backend, name)(*arguments, **options)
            self.num_meanwhile += self._num_events() - before
            return result

        return work


def growing_texts() -> Iterator[str]:
    """Longer and longer ones, for as long as too few events happen meanwhile; the last takes seconds."""
    for num_lines in (6_000, 12_000, 24_000, 48_000, 96_000):
        yield "".join(f"The {number}th word of it, {number * 7919}.\n" for number in range(num_lines))
