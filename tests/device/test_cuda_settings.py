"""What MLX's CUDA backend is told, and by whom."""

from __future__ import annotations

import pytest

from pensieve.device.cuda_settings import SETTINGS, apply_defaults


def test_what_nobody_set_is_set() -> None:
    environment: dict[str, str] = {}
    apply_defaults(environment, "linux")
    assert environment == SETTINGS
    assert environment["MLX_ENABLE_CACHE_THRASHING_CHECK"] == "0"


@pytest.mark.parametrize("name", SETTINGS)
def test_the_word_of_the_user_is_kept(name: str) -> None:
    environment = {name: "777"}
    apply_defaults(environment, "linux")
    assert environment[name] == "777"


def test_metal_is_left_alone() -> None:
    environment: dict[str, str] = {}
    apply_defaults(environment, "darwin")
    assert not environment
