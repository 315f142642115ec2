"""How many random requests and files to try, and the number of the first."""

from __future__ import annotations

import pytest

FEW = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--requests", type=int, default=FEW, metavar="N", help=f"random requests and files (default: {FEW})"
    )
    parser.addoption("--first", type=int, default=0, metavar="N", help="the number of the first (default: 0)")


@pytest.fixture
def num_requests(request: pytest.FixtureRequest) -> int:
    """The options exist only where this folder is named on the command line."""
    return int(request.config.getoption("--requests", FEW))


@pytest.fixture
def first(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--first", 0))
