"""Numbers of config.json that no model has are refused by name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.loading.checks.bounds import require_possible

HUGE = 10**400
"""An integer that no float can hold."""


@pytest.mark.parametrize("number", [HUGE, -HUGE, math.inf, math.nan, 1.5, -1])
def test_a_count_that_no_model_has_is_named(number: float) -> None:
    with pytest.raises(ModelLoadingError, match=r"config\.json: num_hidden_layers is .*where a whole number"):
        require_possible("m", Path("config.json"), {"num_hidden_layers": number})


@pytest.mark.parametrize("number", [HUGE, -HUGE, math.inf, math.nan, -1])
def test_a_rotation_that_no_model_has_is_named(number: float) -> None:
    with pytest.raises(ModelLoadingError, match=r"config\.json: rope_theta is .*where a finite number"):
        require_possible("m", Path("config.json"), {"rope_theta": number})


def test_usual_numbers_are_accepted() -> None:
    require_possible("m", Path("config.json"), {"num_hidden_layers": 32.0, "rope_theta": 1e6, "other": HUGE})
