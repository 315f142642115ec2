"""Leaves out what the short form leaves out, and puts tests of a large vocabulary beside each other.

`tox -e dialects-short` sets `PENSIEVE_DIALECTS=short`; `tox -e dialects` runs everything. Pytest reports the tests that
are left out as deselected.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.dialects.real.families import Family, families
from tests.dialects.short_form import CASES, TAKEN_IN_TURN, is_its_turn

_HERE: Final = Path(__file__).parent
_LARGE: Final = ("gguf:gemma-4", "gguf:command-r", "gemma3")
"""Those of which loading takes seconds."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_place)
    if os.environ.get("PENSIEVE_DIALECTS") != "short":
        return
    kept = {item: _is_short(item) for item in items}
    items[:] = [item for item in items if kept[item]]
    config.hook.pytest_deselected(items=[item for item in kept if not kept[item]])


def _is_short(item: pytest.Item) -> bool:
    module = item.path.relative_to(_HERE).with_suffix("").as_posix() if item.path.is_relative_to(_HERE) else ""
    case = item.name.partition("[")[2].removesuffix("]")
    if module in TAKEN_IN_TURN:
        return is_its_turn(case)
    return not case or module not in CASES or case in CASES[module]


def _place(item: pytest.Item) -> int:
    """Large vocabularies come first, one after the other: pytest-xdist hands out consecutive tests and moves the last
    ones of a process to another, so each of these is loaded by one process.
    """
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    names = {str(getattr(value, "name", value)) for value in params.values()}
    return next((_LARGE.index(each.tokenizer) for each in _families_of_large() if each.name in names), len(_LARGE))


@cache
def _families_of_large() -> list[Family]:
    return [each for each in families() if each.tokenizer in _LARGE]
