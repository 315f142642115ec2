"""A tiny model for the batch."""

from __future__ import annotations

import pytest

from pensieve.models.loading.load import LoadedModel
from tests.engine.support.tiny_modules import tiny_module


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_module("llama")
