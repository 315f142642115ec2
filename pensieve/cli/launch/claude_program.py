"""Where the Claude Code CLI is on this machine, and how it is started (C7)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pensieve.cli.launch.running_servers import LaunchError

PERMISSION_FLAGS = {"--permission-mode", "--dangerously-skip-permissions"}
_HOMEBREW = ("/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin")
_MISSING = (
    "Claude Code is not installed here, or not where it usually is. Install it with\n"
    "    npm install -g @anthropic-ai/claude-code\n"
    "or, where it is elsewhere, name its file with --claude or PENSIEVE_CLAUDE."
)


def find_claude(named: str | None) -> Path:
    """The CLI: the named one, else the one on PATH, else the first of the places where installers put it.

    Raises:
        LaunchError: there is none, or the named one is no program.
    """
    if named is not None:
        found = shutil.which(Path(named).expanduser())
        if found is None:
            raise LaunchError(
                f"{named} is no program that can be run; --claude and PENSIEVE_CLAUDE name the CLI's file"
            )
        return Path(found).absolute()
    on_path = shutil.which("claude")
    if on_path is not None:
        return Path(on_path).absolute()
    for place in _usual_places():
        if os.access(place, os.X_OK) and place.is_file():
            return place
    raise LaunchError(_MISSING)


def _usual_places() -> Iterator[Path]:
    yield Path.home() / ".claude/local/claude"
    yield Path.home() / ".local/bin/claude"
    yield from (Path(folder) / "claude" for folder in _HOMEBREW)
    prefix = _npm_prefix()
    if prefix is not None:
        yield prefix / "bin/claude"


def _npm_prefix() -> Path | None:
    """Where npm installs programs for everybody; asked last, since npm takes its time."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    try:
        asked = subprocess.run(  # noqa: S603 - the user's own npm
            [npm, "prefix", "-g"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(asked.stdout.strip()) if asked.returncode == 0 and asked.stdout.strip() else None


def arguments_for(given: Sequence[str], settings: str) -> list[str]:
    """The user's arguments, with acceptEdits and our settings before them unless they say otherwise.

    In a terminal the CLI would start in its auto mode, which asks the server for verdicts that no local model gives.
    """
    flags = {argument.partition("=")[0] for argument in given}
    mode = [] if flags & PERMISSION_FLAGS else ["--permission-mode", "acceptEdits"]
    return [*mode, *([] if "--settings" in flags else ["--settings", settings]), *given]


def become(program: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by the program: signals, job control, the terminal and the exit status are then its own.

    Raises:
        LaunchError: the system cannot run it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)  # what is ignored stays so in the new program
    try:
        os.execve(program, ["claude", *arguments], environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise LaunchError(f"{program} cannot be run: {error.strerror}") from error
