"""The two reasons for which a scenario is not judged. A skip says which, so that a report can."""

from __future__ import annotations

from typing import NoReturn

import pytest

UNSUPPORTED = "unsupported: "
DISABLED = "disabled: "


def skip_unsupported(reason: str) -> NoReturn:
    """The target does not claim to be able to do it."""
    pytest.skip(UNSUPPORTED + reason)


def skip_disabled(reason: str) -> NoReturn:
    """It was switched off, or the run was not given what it takes."""
    pytest.skip(DISABLED + reason)
