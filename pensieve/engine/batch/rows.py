"""Takes one row out of a batch's caches, as a view where possible (C2).

mlx-lm returns a copy of the row. For rows of gigabytes that doubles the memory whenever a row is only read in order to
be stored, so rows of plain caches are views. Drop a view before the batch's next step: until then MLX must keep the
viewed array, and would copy the whole batch to go on writing.
"""

from __future__ import annotations

import weakref
from typing import Any


def view_rows(batch: Any) -> None:
    """Make a batch of mlx-lm's (`PromptProcessingBatch`, `GenerationBatch`) return its rows through `row_of`."""
    viewed = weakref.proxy(batch)  # a batch that refers to itself would keep the model's weights alive
    batch.extract_cache = lambda index: [row_of(cache, index) for cache in viewed.prompt_cache]


def row_of(cache: Any, index: int) -> Any:
    """A row of a batch cache, as the cache that a single request would have."""
    from mlx_lm.models.cache import BatchKVCache, KVCache  # noqa: PLC0415 - transformers takes seconds to import

    if type(cache) is not BatchKVCache or cache.keys is None:
        return cache.extract(index)
    start, end = int(cache.left_padding[index].item()), int(cache._idx)
    row = KVCache()
    row.keys, row.values = (array[index : index + 1, :, start:end] for array in (cache.keys, cache.values))
    row.offset = end - start
    return row
