"""A row of a layer that attends within chunks (Llama 4): a token sees those of its own chunk, up to itself.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from pensieve.engine.kv.rows.window_row import WindowRow


class ChunkRow(WindowRow):
    """Holds the last tokens as a row of a window does. `window` is the size of a chunk: the most that a token sees."""

    @classmethod
    def of_chunked(cls, cache: Any) -> ChunkRow:
        """mlx-lm's ChunkedKVCache as a row, without a copy."""
        keys, values, offset, chunk_tokens, start = cache.state
        if keys is None:
            return cls(chunk_tokens)
        return cls(chunk_tokens, (keys, values), offset, start=start)

    def as_mlx_cache(self) -> Any:
        """The row as mlx-lm's ChunkedKVCache, with the last tokens, as views."""
        from pensieve.device.mlx_lm.caches import ChunkedKVCache  # noqa: PLC0415 - half a second

        if not self.arrays:
            return ChunkedKVCache(self._window)
        end = self.offset - self._start
        first = max(0, end - self._window)
        keys, values = (array[:, :, first:end] for array in self.arrays)
        return ChunkedKVCache.from_state((keys, values, self.offset, self._window, self._start + first))

    def first_visible(self, num_tokens: int) -> int:
        return max(self._start, (self.offset - num_tokens) // self._window * self._window)

    def mask(self, num_tokens: int, num_keys: int) -> mx.array | None:
        first = self.offset - num_keys
        if first // self._window == (self.offset - 1) // self._window:
            return None
        keys = mx.arange(first, self.offset)
        tokens = keys[num_keys - num_tokens :, None]
        return (keys <= tokens) & (keys // self._window == tokens // self._window)
