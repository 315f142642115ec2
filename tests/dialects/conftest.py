"""Leaves out what the short form leaves out.

`tox -e dialects-short` sets `PENSIEVE_DIALECTS=short`; `tox -e dialects` runs everything. Pytest reports the tests that
are left out as deselected.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.dialects.short_form import CASES, TAKEN_IN_TURN, is_its_turn

_HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("PENSIEVE_DIALECTS") != "short":
        return
    deselected = [item for item in items if not _is_short(item)]
    items[:] = [item for item in items if item not in set(deselected)]
    config.hook.pytest_deselected(items=deselected)


def _is_short(item: pytest.Item) -> bool:
    module = item.path.relative_to(_HERE).with_suffix("").as_posix() if item.path.is_relative_to(_HERE) else ""
    case = item.name.partition("[")[2].removesuffix("]")
    if module in TAKEN_IN_TURN:
        return is_its_turn(case)
    return not case or module not in CASES or case in CASES[module]
