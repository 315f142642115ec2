"""The real Claude Code in an ignored folder of ours: one version, installed by npm, run as the native program it is."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

PACKAGE = "@anthropic-ai/claude-code"
VERSION = "2.1.328"
"""What was recorded of the client (what it sends, which errors it answers how) was recorded of this version."""

FOLDER = Path(__file__).parent / ".npm"


class NotInstalledError(Exception):
    """Claude Code is not here and cannot be fetched; the message says why."""


def installed(seconds: float) -> Path:
    """The program, fetched if need be; npm may take so many seconds (a third of a gigabyte, unpacked).

    Raises:
        NotInstalledError: there is no npm, it reached no registry, or there is no such program for this platform.
    """
    FOLDER.mkdir(exist_ok=True)
    with FileLock(FOLDER / "lock"):
        return _found() or _fetched(seconds)


def _found() -> Path | None:
    """Of the packages for each platform, npm takes the one that fits. It has the program, and its version."""
    for program in sorted((FOLDER / "node_modules/@anthropic-ai").glob("claude-code-*/claude")):
        if json.loads((program.parent / "package.json").read_text(encoding="utf-8"))["version"] == VERSION:
            return program
    return None


def _fetched(seconds: float) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalledError("there is no npm to install Claude Code with")
    quiet = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    command = [npm, "install", *quiet, "--prefix", str(FOLDER), f"{PACKAGE}@{VERSION}"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"npm did not install {PACKAGE} within {seconds:.0f} s") from None
    program = _found()
    if program is None:
        said = (ended.stderr or ended.stdout).strip().splitlines() or [f"it ended with {ended.returncode}"]
        raise NotInstalledError(f"npm did not install {PACKAGE} {VERSION}: {said[0]}")
    return program
