"""Leaves out what the short form leaves out, and keeps tests of one vocabulary in one process.

`tox -e dialects-short` sets `PENSIEVE_DIALECTS=short`; `tox -e dialects` runs everything. Pytest reports the tests that
are left out as deselected.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.dialects.real.families import families
from tests.dialects.short_form import CASES, TAKEN_IN_TURN, is_its_turn

_HERE: Final = Path(__file__).parent
_LARGE: Final = ("gguf:gemma-4", "gguf:command-r", "gemma3")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if (group := _vocabulary_of(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(group))
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


def _vocabulary_of(item: pytest.Item) -> str | None:
    """What `--dist loadgroup` keeps together: a family, or all families of a vocabulary that takes seconds to load."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    names = [str(getattr(value, "name", value)) for value in params.values()]
    found = next((each for each in families() if each.name in names), None)
    return None if found is None else found.tokenizer if found.tokenizer in _LARGE else found.name
