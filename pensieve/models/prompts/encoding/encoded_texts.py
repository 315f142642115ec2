"""Texts as token ids, of which what stood between control tokens is not encoded twice.

A turn's prompt is the one before it and a little more, and the tokenizer takes 0.3 seconds for 100k tokens of it.
"""

from __future__ import annotations

import re
import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

MAX_BYTES: Final = 48_000_000
"""Of texts, their tokens and where those end: some twenty prompts of 100k tokens that share nothing."""
_BYTES_AROUND: Final = 300
"""What one entry takes besides its text and its numbers."""


class EncodedTexts:
    """For one `tokenizers.Tokenizer`. Any thread may use it."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._marks, self._cutting = _marks(backend)
        self._lock = threading.Lock()
        self._by_text: OrderedDict[str, tuple[array[int], array[int]]] = OrderedDict()
        self._num_bytes = 0

    def parts(self, text: str) -> Iterator[str]:
        """The text, cut before control tokens, so that its tokens are those of its parts, one after the other.

        The tokenizer looks for such tokens before all else, and what stands between two of them is encoded without a
        look at the rest, but for whether it is at the start of a text: so a part begins with its token.
        """
        start = 0
        for match in self._marks.finditer(text) if self._marks is not None else ():
            if match.start() > start and match[0] in self._cutting:
                yield text[start : match.start()]
                start = match.start()
        if start < len(text):
            yield text[start:]

    def is_cut_before(self, text: str) -> bool:
        """Whether a text begins with a token before which it may be cut off from what stands before it."""
        found = self._marks.match(text) if self._marks is not None else None
        return found is not None and found[0] in self._cutting

    def of(self, text: str) -> tuple[array[int], array[int]]:
        """The token ids, and the characters at which they end. Not to be changed."""
        with self._lock:
            found = self._by_text.get(text)
            if found is not None:
                self._by_text.move_to_end(text)
                return found
        encoding = self._backend.encode(text, add_special_tokens=False)
        encoded = array("I", encoding.ids), array("I", [end for _, end in encoding.offsets])
        with self._lock:
            if text not in self._by_text:
                self._by_text[text] = encoded
                self._num_bytes += _bytes_of(text, encoded)
            while self._num_bytes > MAX_BYTES:
                self._num_bytes -= _bytes_of(*self._by_text.popitem(last=False))
        return encoded


def _bytes_of(text: str, encoded: tuple[array[int], array[int]]) -> int:
    return sys.getsizeof(text) + sum(numbers.itemsize * len(numbers) for numbers in encoded) + _BYTES_AROUND


def _marks(backend: Any) -> tuple[re.Pattern[str] | None, frozenset[str]]:
    """What the tokenizer looks for in a text before all else, and before which of it a text may be cut.

    The first from the left, and of several there the longest: as the tokenizer has it. A token that wants no letter
    beside it, or takes the spaces before it along, depends on what is before it.
    """
    tokens = [token for token in backend.get_added_tokens_decoder().values() if token.content and not token.normalized]
    if not tokens or any(token.single_word for token in tokens):
        return None, frozenset()
    contents = sorted((token.content for token in tokens), key=len, reverse=True)
    cutting = frozenset(token.content for token in tokens if token.special and not token.lstrip)
    return re.compile("|".join(map(re.escape, contents))), cutting
