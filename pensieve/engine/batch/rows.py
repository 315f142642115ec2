"""One row out of a batch's caches, without a copy where that can be (C2).

mlx-lm gives a row as a copy of its own. For rows of gigabytes that would take the memory twice, each time that one is
only looked at to be stored; so of plain caches a row is a view. A view is to be dropped before the batch goes on: until
then MLX has to keep what it looks at, and would copy the whole batch to go on writing.
"""

from __future__ import annotations

import weakref
from typing import Any


def view_rows(batch: Any) -> None:
    """Have a batch of mlx-lm's (`PromptProcessingBatch`, `GenerationBatch`) give its rows as `row_of` does."""
    viewed = weakref.proxy(batch)  # a batch that held on to itself would hold the model's weights
    batch.extract_cache = lambda index: [row_of(cache, index) for cache in viewed.prompt_cache]


def row_of(cache: Any, index: int) -> Any:
    """A row of a batch's cache as the cache that a request alone would have."""
    from mlx_lm.models.cache import BatchKVCache, KVCache  # noqa: PLC0415 - transformers takes seconds to import

    if type(cache) is not BatchKVCache or cache.keys is None:
        return cache.extract(index)
    start, end = int(cache.left_padding[index].item()), int(cache._idx)
    row = KVCache()
    row.keys, row.values = (array[index : index + 1, :, start:end] for array in (cache.keys, cache.values))
    row.offset = end - start
    return row
