"""Whatever becomes of the streams of a command and however early Ctrl-C comes, it ends without a traceback (U9)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PENSIEVE = (sys.executable, "-m", "pensieve")


def shell(script: str, home: Path) -> subprocess.CompletedProcess[str]:
    """`p` is the `pensieve` command in the script."""
    environment = {**os.environ, "PENSIEVE_HOME": str(home)}
    script = f'p() {{ "{sys.executable}" -m pensieve "$@"; }}; {script}'
    return subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=False)


def test_a_command_goes_without_the_streams_that_are_closed(tmp_path: Path) -> None:
    ended = shell("p config show <&- >&-", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_no_standard_input_is_an_empty_one(tmp_path: Path) -> None:
    ended = shell("p chat <&-", tmp_path)
    assert (ended.returncode, ended.stderr) == (
        2,
        "pensieve: nothing to ask; give a PROMPT, or text on the standard input\n",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_an_output_that_is_full_is_one_sentence(tmp_path: Path) -> None:
    ended = shell("p config show >/dev/full", tmp_path)
    assert (ended.returncode, ended.stderr) == (
        1,
        "pensieve: the output cannot be written: No space left on device\n",
    )


def test_a_reader_that_has_read_enough_gets_no_message(tmp_path: Path) -> None:
    ended = shell("p config show | true", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
sys.argv = ["pensieve", {command!r}]
from pensieve.cli.process.start import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "command", "status"),
    [("pensieve.cli.main", "version", -signal.SIGINT), ("pensieve.cli.doctor.examination", "doctor", 130)],
)
def test_ctrl_c_during_the_imports_ends_a_command(module: str, command: str, status: int, tmp_path: Path) -> None:
    script = INTERRUPTED_IMPORT.format(module=module, command=command)
    environment = {**os.environ, "PENSIEVE_HOME": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (status, "")


def test_an_interrupt_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As of a command that a script starts in the background."""
    script = INTERRUPTED_IMPORT.format(module="pensieve.cli.main", command="version")
    environment = {**os.environ, "PENSIEVE_HOME": str(tmp_path)}
    ended = subprocess.run(
        ["/bin/sh", "-c", 'trap "" INT; exec "$0" -c "$1"', sys.executable, script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
