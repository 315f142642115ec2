"""What tests of the commands share."""

from pathlib import Path

import pytest

from tests.cli.claude_user import User


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Somebody with a home of their own, Claude Code on PATH, and a script for a model."""
    return User(tmp_path)
