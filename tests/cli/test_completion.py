"""`pensieve completion bash` in a real bash, and the code for zsh and fish where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = shutil.which("bash") or ""
COMPLETE = """
eval "$(pensieve completion bash)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9
_python_argcomplete pensieve
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """`pensieve` on PATH, with nothing on this machine."""
    program = tmp_path / "bin" / "pensieve"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pensieve "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PENSIEVE_HOME": str(tmp_path)}


@pytest.mark.skipif(not BASH, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pensieve sto", {"stop"}),
        ("pensieve models r", {"remove", "rm"}),
        ("pensieve serve --cache-m", {"--cache-memory"}),
        ("pensieve run coder-16gb-f", {"coder-16gb-fast"}),
        ("pensieve serve --log-level w", {"warning"}),
    ],
)
def test_bash_completes(line: str, expected: set[str], environment: dict[str, str]) -> None:
    answer = subprocess.run(
        [BASH, "--norc", "-c", COMPLETE, "bash", line], env=environment, capture_output=True, text=True, check=True
    )
    assert {word.strip() for word in answer.stdout.split()} == expected, answer.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_is_that_shells_own(shell: str, environment: dict[str, str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    code = subprocess.run(
        [sys.executable, "-m", "pensieve", "completion", shell], env=environment, capture_output=True, check=True
    ).stdout
    (tmp_path / "code").write_bytes(code)
    subprocess.run([shell, "-n", str(tmp_path / "code")], check=True)
    if shell == "zsh":  # also without a configuration, as on a new Mac
        script = f'source {tmp_path}/code; print "${{_comps[pensieve]}}"'
        loaded = subprocess.run(
            [shell, "-f", "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert (loaded.stdout, loaded.stderr) == ("_python_argcomplete\n", "")
