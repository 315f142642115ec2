"""Installs one version of the real Claude Code with npm, into a folder that git ignores."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

PACKAGE = "@anthropic-ai/claude-code"
VERSION = "2.1.332"
"""The version whose requests and reactions to errors the tests are based on."""

FOLDER = Path(__file__).parent / ".npm"


class NotInstalledError(Exception):
    """Claude Code is not installed and cannot be installed. The message says why."""


def installed(seconds: float) -> Path:
    """The path of the program. If necessary, npm installs it within `seconds`: 0.3 GB, unpacked.

    Raises:
        NotInstalledError: npm is missing or cannot reach a registry, or the platform is not supported.
    """
    FOLDER.mkdir(exist_ok=True)
    with FileLock(FOLDER / "lock"):
        return _find() or _install(seconds)


def _find() -> Path | None:
    """The program, from the package that npm chose for this platform, if it has the right version."""
    for program in sorted((FOLDER / "node_modules/@anthropic-ai").glob("claude-code-*/claude")):
        if json.loads((program.parent / "package.json").read_text(encoding="utf-8"))["version"] == VERSION:
            return program
    return None


def _install(seconds: float) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalledError("npm, which installs Claude Code, is missing")
    quiet = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    command = [npm, "install", *quiet, "--prefix", str(FOLDER), f"{PACKAGE}@{VERSION}"]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"npm did not install {PACKAGE} within {seconds:.0f} s") from None
    program = _find()
    if program is None:
        output = (process.stderr or process.stdout).strip().splitlines() or [f"exit status {process.returncode}"]
        raise NotInstalledError(f"npm did not install {PACKAGE} {VERSION}: {output[0]}")
    return program
