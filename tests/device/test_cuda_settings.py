"""The environment of MLX's CUDA backend."""

from __future__ import annotations

import pytest

from pensieve.device.cuda_settings import SETTINGS, apply_defaults


def test_variables_that_are_not_set_get_a_value() -> None:
    environment: dict[str, str] = {}
    apply_defaults(environment, "linux")
    assert environment == SETTINGS
    assert environment["MLX_ENABLE_CACHE_THRASHING_CHECK"] == "0"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_value_that_the_user_has_set_is_kept(name: str) -> None:
    environment = {name: "777"}
    apply_defaults(environment, "linux")
    assert environment[name] == "777"


def test_nothing_is_set_on_macos() -> None:
    environment: dict[str, str] = {}
    apply_defaults(environment, "darwin")
    assert not environment
