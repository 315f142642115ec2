"""Loads a fast BLAS just before MLX is imported for the first time, whichever test imports it.

Without it the tests of the real model take three times as long, and after the import it is too late.
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
        """Preload the BLAS at the first import of MLX; the finders after this one find the module."""
        if name.partition(".")[0] == "mlx":
            sys.meta_path.remove(self)
            from pensieve.device import blas  # noqa: PLC0415 - needs nothing of MLX, and pure tests need none of it

            blas.preload()
        return None
