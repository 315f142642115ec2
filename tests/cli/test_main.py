"""What `pensieve serve` does before it imports MLX."""

from __future__ import annotations

from pathlib import Path

import pytest

from pensieve.cli.main import set_kernel_cache
from pensieve.models.files.home import HOME_VARIABLE


def test_compiled_kernels_are_cached_under_pensieve_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    environment: dict[str, str] = {}
    set_kernel_cache(environment)
    assert environment == {"MLX_PTX_CACHE_DIR": str(tmp_path / "kernels")}


def test_the_users_own_kernel_cache_is_kept() -> None:
    environment = {"MLX_PTX_CACHE_DIR": "/elsewhere"}
    set_kernel_cache(environment)
    assert environment == {"MLX_PTX_CACHE_DIR": "/elsewhere"}
