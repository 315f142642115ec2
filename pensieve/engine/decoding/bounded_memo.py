"""A memo of values computed from client-supplied texts, bounded in entries and in characters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedMemo(Generic[T]):
    """Least recently used texts leave first. Not thread-safe."""

    def __init__(self, max_texts: int, max_characters: int) -> None:
        self._max_texts = max_texts
        self._max_characters = max_characters
        self._values: OrderedDict[str, T] = OrderedDict()
        self._num_characters = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, text: str, make: Callable[[], T]) -> T:
        """The value for `text`, made on a miss. An exception from `make` propagates, and nothing is stored."""
        if text in self._values:
            self._values.move_to_end(text)
            return self._values[text]
        value = make()
        self._values[text] = value
        self._num_characters += len(text)
        while self._values and (len(self._values) > self._max_texts or self._num_characters > self._max_characters):
            oldest, _ = self._values.popitem(last=False)
            self._num_characters -= len(oldest)
        return value
