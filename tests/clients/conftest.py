"""Writes docs/clients.md at the end of a run of `tox -e clients`."""

from __future__ import annotations

import os

from tests.clients import document


def pytest_sessionfinish() -> None:
    if os.environ.get("PENSIEVE_CLIENTS"):
        document.write()
