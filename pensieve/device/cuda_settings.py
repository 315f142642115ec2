"""Environment variables for MLX's CUDA backend, which it reads once. A value that the user has set is kept.

- `MLX_ENABLE_CACHE_THRASHING_CHECK`: MLX caches a few hundred graphs and plans, and raises once it has made twice as
  many (mlx 0.32, backend/cuda/lru_cache.h). A server that runs for days and sees every length would hit that limit, so
  the check is switched off.
- `MLX_MAX_OPS_PER_BUFFER` and `MLX_MAX_MB_PER_BUFFER`: MLX submits work to the GPU in batches of this many operations
  or megabytes read, and frees their temporaries only after the whole batch. With MLX's own values, a prefill of 512
  tokens of a 6.7B model took 2 to 4 GB besides the weights; with these, about 1 GB and less time (on an H200).
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from typing import Final

SETTINGS: Final = {
    "MLX_ENABLE_CACHE_THRASHING_CHECK": "0",
    "MLX_MAX_OPS_PER_BUFFER": "50",
    "MLX_MAX_MB_PER_BUFFER": "100",
}


def apply_defaults(environment: MutableMapping[str, str] = os.environ, platform: str = sys.platform) -> None:
    """Call this before MLX's first computation. No effect on macOS, where Metal has its own values."""
    if platform != "darwin":
        for name, value in SETTINGS.items():
            environment.setdefault(name, value)
