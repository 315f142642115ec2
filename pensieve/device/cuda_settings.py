"""What MLX's CUDA backend is told before it begins. It asks the environment alone, and there the user's word is kept.

- `MLX_ENABLE_CACHE_THRASHING_CHECK`: MLX keeps the graphs and plans that it has made, a few hundred of each, and counts
  those it had to make. When there were twice as many as it keeps, every further one raises (mlx 0.32,
  backend/cuda/lru_cache.h): for a server, which runs for days and meets every length, a fuse. It is taken out.
- `MLX_MAX_OPS_PER_BUFFER` and `MLX_MAX_MB_PER_BUFFER`: work is given to the GPU in portions of so many operations, or
  so much that they read, and what they leave behind is freed only when all of a portion is done. With MLX's own
  numbers, reading 512 tokens of a 6.7B model took 2 to 4 GB beside the weights, with these about 1 GB, in less time
  (an H200).
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
    """Before MLX computes for the first time. Nothing on macOS: Metal has numbers of its own for the latter."""
    if platform != "darwin":
        for name, value in SETTINGS.items():
            environment.setdefault(name, value)
