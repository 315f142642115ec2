"""A server for the attacks, and a table of what another client saw during each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.arena import IS_WHOLE, SLOW_MODEL, Arena, arena
from tests.support.tiny_model import write_tiny_model


@pytest.fixture(scope="package" if IS_WHOLE else "module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """For all attacks if the clock decides, since the control is measured once. Else for one file: the other client's
    stream takes a core from the tests that follow.
    """
    folder = tmp_path_factory.mktemp("chaos")
    model = write_tiny_model(folder / "model", max_position_embeddings=8192, **(SLOW_MODEL if IS_WHOLE else {}))
    with arena(folder, model) as found:
        yield found
        if IS_WHOLE:
            write_table(found)


def write_table(found: Arena) -> None:
    path = Path("results/chaos.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found.rows, indent=2), encoding="utf-8")
    for row in found.rows:
        print({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()})  # noqa: T201
