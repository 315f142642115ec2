"""What the command does before anything is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from pensieve.cli.main import keep_kernels
from pensieve.models.files.home import HOME_VARIABLE


def test_kernels_are_kept_where_everything_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    environment: dict[str, str] = {}
    keep_kernels(environment)
    assert environment == {"MLX_PTX_CACHE_DIR": str(tmp_path / "kernels")}


def test_a_user_may_keep_kernels_elsewhere() -> None:
    environment = {"MLX_PTX_CACHE_DIR": "/elsewhere"}
    keep_kernels(environment)
    assert environment == {"MLX_PTX_CACHE_DIR": "/elsewhere"}
