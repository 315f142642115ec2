"""The processes that run the tests of `tox -e fast` miss none of them, and none of their failures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import os
import pytest

@pytest.mark.parametrize("number", range(7))
def test_a_number(number):
    with open("processes", "a") as file:
        print(os.getpid(), file=file)
    {check}
"""


def run(folder: Path, check: str) -> subprocess.CompletedProcess[str]:
    """Seven tests in three processes."""
    (folder / "test_numbers.py").write_text(TESTS.format(check=check))
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.loop.forked", "--processes", "3", "-q", "-ra"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_failures_of_every_process_are_reported(tmp_path: Path) -> None:
    done = run(tmp_path, "assert number > 2; number == 4 and pytest.skip('not today')")
    assert done.returncode == 1, done.stdout
    assert "3 failed, 3 passed, 1 skipped" in done.stdout
    assert "not today" in done.stdout
    assert [f"test_a_number[{number}] - assert {number} > 2" in done.stdout for number in range(3)] == [True] * 3
    processes = (tmp_path / "processes").read_text().split()
    assert (len(processes), len(set(processes))) == (7, 3)


def test_a_process_that_dies_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, "os._exit(0) if number == 1 else None")
    assert done.returncode == 2, done.stdout
    assert "a process that ran a part of the tests died" in done.stdout
