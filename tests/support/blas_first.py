"""Loads a fast BLAS just before the first import of MLX.

Tests with the real model take three times as long without it, and it cannot be loaded after MLX.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

# ruff: noqa: ARG002


class BlasFirst(importlib.abc.MetaPathFinder):
    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Preload the BLAS at the first import of MLX. The other finders then find the module."""
        if name.partition(".")[0] == "mlx":
            sys.meta_path.remove(self)
            from pensieve.device import blas  # noqa: PLC0415 - tests without MLX do not need it

            blas.preload()
        return None
