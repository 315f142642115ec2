"""Finds the Claude Code CLI on this machine and starts it (C7)."""

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
from pensieve.models.library.user_path import user_path

PERMISSION_FLAGS = {"--permission-mode", "--dangerously-skip-permissions"}
_HOMEBREW = ("/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin")
_MISSING = (
    "Claude Code is not installed in any of the usual places. Install it with\n"
    "    npm install -g @anthropic-ai/claude-code\n"
    "or give the path of the program with --claude or PENSIEVE_CLAUDE."
)


def find_claude(given: str | None) -> Path:
    """The CLI: the given one, else the one on PATH, else the first in the places that installers use.

    Raises:
        LaunchError: it is not installed, or the given file is not executable.
    """
    if given is not None:
        found = shutil.which(user_path(given))
        if found is None:
            raise LaunchError(
                f"{given} is not an executable file; give the path of the Claude Code program with --claude or "
                "PENSIEVE_CLAUDE"
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
    """The folder of npm's global programs. It is tried last, because npm is slow."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    try:
        result = subprocess.run(  # noqa: S603 - the user's own npm
            [npm, "prefix", "-g"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(result.stdout.strip()) if result.returncode == 0 and result.stdout.strip() else None


def claude_arguments(given: Sequence[str], settings: str) -> list[str]:
    """The user's arguments, preceded by acceptEdits and `settings` unless the user sets those.

    By default the CLI starts in its auto mode, which has the server judge each command. Local models cannot do that.
    """
    flags = {argument.partition("=")[0] for argument in given}
    mode = [] if flags & PERMISSION_FLAGS else ["--permission-mode", "acceptEdits"]
    return [*mode, *([] if "--settings" in flags else ["--settings", settings]), *given]


def exec_claude(program: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process with the program, so that signals, terminal, job control and exit status are its own.

    Raises:
        LaunchError: the system cannot run it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)  # ignored signals would stay ignored in the new program
    try:
        os.execve(program, ["claude", *arguments], environment)  # noqa: S606 - runs without a shell
    except OSError as error:
        raise LaunchError(f"{program} cannot be run: {error.strerror}") from error
