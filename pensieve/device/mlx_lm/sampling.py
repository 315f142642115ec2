"""mlx-lm's filters and samplers, for every other package. Importing this imports mlx-lm, in half a second."""

from __future__ import annotations

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm

import_mlx_lm()

from mlx_lm.sample_utils import (  # noqa: E402 - only after import_mlx_lm
    apply_top_k,
    apply_top_p,
    categorical_sampling,
    greedy_sampler,
    make_repetition_penalty,
)

__all__ = ["apply_top_k", "apply_top_p", "categorical_sampling", "greedy_sampler", "make_repetition_penalty"]
