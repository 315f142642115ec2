"""A memo of values computed from client-supplied texts, bounded by the bytes of the values."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_ENTRY_BYTES: Final = 250
"""A hash in an ordered dictionary."""


class BoundedMemo(Generic[T]):
    """Least recently used values leave first. Of a text only its hash is kept. Not thread-safe."""

    def __init__(self, max_bytes: int, size_of: Callable[[T], int]) -> None:
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._values: OrderedDict[bytes, tuple[T, int]] = OrderedDict()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, text: str, make: Callable[[], T]) -> T:
        """The value for `text`, made on a miss. An exception from `make` propagates, and nothing is stored."""
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]
        value = make()
        size = self._size_of(value) + _ENTRY_BYTES
        if size > self._max_bytes:
            return value
        self._values[key] = value, size
        self.num_bytes += size
        self._evict()
        return value

    def drop(self, is_unusable: Callable[[T], bool]) -> None:
        for key in [key for key, (value, _) in self._values.items() if is_unusable(value)]:
            self.num_bytes -= self._values.pop(key)[1]

    def measure_again(self) -> None:
        """For values that grow. Those that leave for it are made again when they are needed."""
        for key, (value, _) in self._values.items():
            self._values[key] = value, self._size_of(value) + _ENTRY_BYTES
        self.num_bytes = sum(size for _, size in self._values.values())
        self._evict()

    def _evict(self) -> None:
        while self.num_bytes > self._max_bytes:
            _, (_, oldest_bytes) = self._values.popitem(last=False)
            self.num_bytes -= oldest_bytes
