"""Small hybrids with random weights, as mlx-lm loads them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from tests.dialects.matrix.coverage import SEEDS
from tests.dialects.matrix.model_types import config_of
from tests.dialects.matrix.row import write_small_model

import_mlx_lm()  # before anything else imports it

TYPES: Final = ("qwen3_5", "qwen3_5_moe", "qwen3_next", "olmo_hybrid", "kimi_linear", "kimi_k3", "bailing_moe_v3")


def original(model_type: str, **config: Any) -> Any:
    """Equal arguments give equal models."""
    from mlx_lm.utils import load_model  # noqa: PLC0415 - only after import_mlx_lm

    with TemporaryDirectory() as folder:
        config = {**config_of(model_type), **config}
        path = write_small_model(Path(folder), config, seed=SEEDS.get(model_type, 0))
        return load_model(path)[0]
