"""A tiny model, and runs whose event loops are closed after the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pensieve.models.loading.load import LoadedModel
from tests.engine.batch.batch_run import BatchRun
from tests.engine.support.tiny_modules import tiny_module


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_module("llama")


@pytest.fixture
def runs() -> Iterator[list[BatchRun]]:
    made: list[BatchRun] = []
    yield made
    for run in made:
        run.loop.close()
