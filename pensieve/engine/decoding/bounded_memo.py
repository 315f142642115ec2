"""What was made of texts that clients send, kept within bounds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedMemo(Generic[T]):
    """The values of the texts that were used last: `max_texts` of them, with `max_characters` in all.

    Used by one thread at a time.
    """

    def __init__(self, max_texts: int, max_characters: int) -> None:
        self._max_texts = max_texts
        self._max_characters = max_characters
        self._values: OrderedDict[str, T] = OrderedDict()
        self._num_characters = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, text: str, make: Callable[[], T]) -> T:
        """The value of `text`, made if it is not there. What `make` raises is passed on, and nothing is kept."""
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
