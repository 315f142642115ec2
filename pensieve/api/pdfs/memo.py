"""Remembers the text of PDFs, since a conversation sends the same ones in every turn."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from pensieve.api.pdfs.extraction import Extract

MAX_CHARACTERS = 16_000_000


class ExtractMemo:
    """Keeps the extracts used last, as many as have `max_characters`. Its methods may be called from any thread.

    An extract is only found in the `namespace` it was added in: the time that it saves would reveal what others sent.
    """

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._num_characters = 0
        self._extracts: OrderedDict[tuple[str, bytes], Extract] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, data: str, namespace: str = "") -> Extract | None:
        key = _key(data, namespace)
        with self._lock:
            if key in self._extracts:
                self._extracts.move_to_end(key)
            return self._extracts.get(key)

    def add(self, data: str, extract: Extract, namespace: str = "") -> None:
        key = _key(data, namespace)
        with self._lock:
            if key not in self._extracts:
                self._num_characters += _size(extract)
            self._extracts[key] = extract
            while self._num_characters > self._max_characters:
                _, oldest = self._extracts.popitem(last=False)
                self._num_characters -= _size(oldest)


def _key(data: str, namespace: str) -> tuple[str, bytes]:
    return namespace, hashlib.sha256(data.encode()).digest()


def _size(extract: Extract) -> int:
    """Its characters, and those that a short one costs anyway."""
    return len(extract.get("text", "")) + 200
