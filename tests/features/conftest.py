"""Fixtures for tests of the suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.features.throwaway import ONE_MODEL, answering


@pytest.fixture
def almost_a_server() -> Iterator[str]:
    """The URL of a server that has a list of models and nothing else."""
    with answering(ONE_MODEL) as url:
        yield url
