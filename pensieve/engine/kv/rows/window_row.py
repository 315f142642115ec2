"""A row of a sliding window: it holds the window, and room to grow, instead of all tokens.

mlx-lm's rotating cache writes over its oldest token, so a token that was written cannot be taken back. Here tokens stay
in order: when the room is full, the window is copied to the beginning of new room. So rejected drafts are cut off, as
they are off any other row.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx

from pensieve.engine.kv.rows.row import Form, RowKV, room_for

SPARE_TOKENS: Final = 32
"""Tokens kept before the window, so that as many can be cut off at any time: a pass of draft tokens."""


class WindowRow(RowKV):
    """`arrays` hold the tokens from position `start` on. A token attends to `window` tokens, itself included."""

    def __init__(
        self,
        window: int,
        arrays: tuple[mx.array, ...] = (),
        offset: int = 0,
        *,
        start: int = 0,
        form: Form = "attending",
    ) -> None:
        super().__init__(arrays, offset, form=form)
        self._window = window
        self._start = start

    @classmethod
    def of_rotating(cls, cache: Any, *, form: Form = "attending") -> WindowRow:
        """mlx-lm's RotatingKVCache as a row. Copies it if it has rotated."""
        keys, values, offset, _, window, index = cache.state
        if keys is None:
            return cls(window, form=form)
        arrays = tuple(_in_order(array, offset, index) for array in (keys, values))
        return cls(window, arrays, offset, start=offset - int(arrays[0].shape[2]), form=form)

    def as_mlx_cache(self) -> Any:
        """The row as mlx-lm's RotatingKVCache, with the last `window` tokens, as views."""
        from pensieve.device.mlx_lm.caches import RotatingKVCache  # noqa: PLC0415 - half a second

        if not self.arrays:
            return RotatingKVCache(self._window)
        end = self.offset - self._start
        keys, values = (array[:, :, max(0, end - self._window) : end] for array in self.arrays)
        return RotatingKVCache.from_state((keys, values, self.offset, 0, self._window, int(keys.shape[2])))

    @property
    def start(self) -> int:
        return self._start

    @property
    def window(self) -> int | None:
        return self._window

    def size(self) -> int:
        return min(self.offset, self._window)

    def first_visible(self, num_tokens: int) -> int:
        return max(self._start, self.offset - num_tokens - self._window + 1)

    def _grow(self, added: Sequence[mx.array], num_tokens: int) -> None:
        """Make room for `num_tokens` more, and drop what they do not attend to."""
        num_kept = min(self.offset - self._start, self._window - 1 + SPARE_TOKENS)
        end = self.offset - self._start
        kept = tuple(array[:, :, end - num_kept : end] for array in self.arrays)
        self._replace(added, kept, room_for(num_kept + num_tokens))
        self._start = self.offset - num_kept


def max_room(window: int, chunk_tokens: int) -> int:
    """The most tokens that a row of a window takes memory for, if at most `chunk_tokens` are added at once."""
    return room_for(window - 1 + SPARE_TOKENS + chunk_tokens)


def _in_order(array: mx.array, offset: int, index: int) -> mx.array:
    """A rotating cache's keys or values, oldest first, without unfilled room. The next token is written at `index`."""
    size = int(array.shape[2])
    if offset < size:
        return array[:, :, :offset]
    return array if index >= size else mx.concatenate([array[:, :, index:], array[:, :, :index]], axis=2)
