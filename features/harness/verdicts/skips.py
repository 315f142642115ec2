"""The two kinds of skip. The reason begins with the kind, so that reports can tell them apart."""

from __future__ import annotations

from typing import NoReturn

import pytest

UNSUPPORTED = "unsupported: "
DISABLED = "disabled: "


def skip_unsupported(reason: str) -> NoReturn:
    """The target does not declare the capability."""
    pytest.skip(UNSUPPORTED + reason)


def skip_disabled(reason: str) -> NoReturn:
    """The scenario is switched off, or the run lacks an option that it needs."""
    pytest.skip(DISABLED + reason)
