"""Fails a test that imports MLX, and makes the run fast: `pytest -p tests.support.loop.pure`, as `tox -e fast` has it.

The environment of `tox -e fast` has no MLX. This plugin also finds such imports where MLX is installed or where a test
catches the ImportError.
"""

from __future__ import annotations

import gc
import importlib.abc
import sys
from collections.abc import Generator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

# ruff: noqa: ARG002

_imported: list[str] = []


class _NoMLX(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in ("mlx", "mlx_lm"):
            _imported.append(name)
            raise ImportError(f"a test of `tox -e fast` imports {name}: tox.ini may list only tests without MLX")
        return None


def pytest_configure() -> None:
    sys.meta_path.insert(0, _NoMLX())
    gc.disable()  # the run is short, and looking for garbage would be a quarter of it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """What was imported during collection fails the first test."""
    try:
        yield
    finally:
        if _imported:
            names = ", ".join(sorted(set(_imported)))
            _imported.clear()
            pytest.fail(f"{names} was imported")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    gc.freeze()  # pytest looks for garbage five times before it ends
