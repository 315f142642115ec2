"""What mlx-lm's layers compute with, for every other package. Importing this imports mlx-lm, in half a second."""

from __future__ import annotations

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm

import_mlx_lm()

from mlx_lm.models.base import create_attention_mask  # noqa: E402 - only after import_mlx_lm
from mlx_lm.models.gated_delta import normalize_qk  # noqa: E402
from mlx_lm.models.mla import MultiLinear, QuantizedMultiLinear  # noqa: E402

__all__ = ["MultiLinear", "QuantizedMultiLinear", "create_attention_mask", "normalize_qk"]
