"""The short form of these tests, for CI: of the slow ones, only some families and model types.

`tox -e dialects-short` sets `PENSIEVE_DIALECTS=short`; `tox -e dialects` runs everything. Pytest reports the others as
deselected.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

_SLOW: Final = ("rigged/test_calls", "matrix/test_rope_forms")
"""Modules of this folder that start an engine, or build a model, for each of their cases."""
_KEPT: Final = frozenset(
    {
        *("qwen3", "qwen3-coder", "gpt-oss", "deepseek-v3.1", "gemma-4", "llama-3.1", "glm-4.6", "kimi-k2"),
        *("mistral-nemo", "minimax-m3", "lfm2.5", "command-r7b", "muse-glimmer"),
        *("llama", "gemma3", "gpt_oss", "qwen3_5", "deepseek_v3", "phi3", "llama4", "glm4_moe"),
    }
)
_HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("PENSIEVE_DIALECTS") != "short":
        return
    deselected = [item for item in items if not _is_short(item)]
    items[:] = [item for item in items if item not in set(deselected)]
    config.hook.pytest_deselected(items=deselected)


def _is_short(item: pytest.Item) -> bool:
    if not item.path.is_relative_to(_HERE) or item.path.relative_to(_HERE).with_suffix("").as_posix() not in _SLOW:
        return True
    case = item.name.partition("[")[2].removesuffix("]")
    return not case or case in _KEPT
