"""Powers of two give what MLX's own exponentials give."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from pensieve.device.exponentials import LOG2_E, power_of_two, powers_are_faster, silu, weighted_sums

NUMBERS = mx.concatenate([mx.linspace(-120, 120, 4801), mx.array([0.0, -0.0, 1e-30, -1e30, 1e30])])


def test_the_activation_is_that_of_mlx() -> None:
    """Also where powers overflow."""
    np.testing.assert_allclose(np.array(silu(NUMBERS)), np.array(nn.silu(NUMBERS)), rtol=2e-5, atol=1e-30)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16])
def test_powers_keep_their_type(dtype: mx.Dtype) -> None:
    assert power_of_two(mx.array([3.0], dtype)).dtype == dtype
    assert power_of_two(mx.array([3.0], dtype)).item() == 8


def test_sums_are_weighted_by_softmax() -> None:
    scores = 10 * mx.random.normal((2, 3, 5, 40), key=mx.random.key(1))
    scores[..., 30:] = mx.finfo(mx.float32).min
    values = mx.random.normal((2, 3, 40, 8), key=mx.random.key(2))
    expected = mx.softmax(scores, axis=-1, precise=True) @ values
    actual = weighted_sums(mx.maximum(scores * LOG2_E, mx.finfo(mx.float32).min), values)
    np.testing.assert_allclose(np.array(actual), np.array(expected), rtol=1e-4, atol=1e-5)


def test_the_form_is_chosen_once() -> None:
    assert powers_are_faster() is powers_are_faster()
