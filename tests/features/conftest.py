"""What tests of the suite stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.features.throwaway import ONE_MODEL, answering


@pytest.fixture
def almost_a_server() -> Iterator[str]:
    """The least that can be reached."""
    with answering(ONE_MODEL) as url:
        yield url
