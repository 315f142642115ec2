"""Installs other people's packages from PyPI and npm into folders that git ignores."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from filelock import FileLock

_SECONDS: Final = 600
_NPM_OPTIONS: Final = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
_BUILD_BACKEND: Final = ("hatchling", "hatch-fancy-pypi-readme")
"""What the SDKs are built with. pip asks it for their metadata, even for a mere download."""


class NotInstalledError(Exception):
    """A registry cannot be reached, or has no such package. The message has the installer's own words."""


def python_with(folder: Path, *requirements: str, day: str = "") -> Path:
    """The interpreter of a virtual environment in `folder`, with the newest packages that meet the requirements.

    The packages stay as they are until the requirements or the `day` change, or `folder` is deleted.

    Raises:
        NotInstalledError: uv cannot install them.
    """
    python = folder / "venv/bin/python"

    def install() -> None:
        venv.create(folder / "venv", clear=True)
        _run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), *requirements)

    _once(folder, (*requirements, day), install)
    return python


def node_modules_with(folder: Path, *packages: str, day: str = "") -> Path:
    """The folder `node_modules` inside `folder`, with these packages. They stay as `python_with` says.

    Raises:
        NotInstalledError: npm is missing or cannot install them.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalledError(f"npm, which installs {' and '.join(packages)}, is missing")
    _once(folder, (*packages, day), lambda: _run(npm, "install", *_NPM_OPTIONS, "--prefix", str(folder), *packages))
    return folder / "node_modules"


def source_of(folder: Path, package: str, version: str) -> Path:
    """The unpacked source distribution of a package that hatchling builds, with its tests, inside `folder`.

    Raises:
        NotInstalledError: pip cannot download it.
    """
    python = python_with(folder / "build", *_BUILD_BACKEND)
    source = folder / f"{package}-{version}"

    def download() -> None:
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-binary", package, "--dest", str(folder))
        _run(sys.executable, "-m", "pip", "--python", str(python), "download", *options, f"{package}=={version}")
        with tarfile.open(next(folder.glob(f"{package}-{version}.tar.*"))) as archive:
            archive.extractall(folder, filter="data")

    _once(source, (package, version), download)
    return source


def _once(folder: Path, wanted: Sequence[str], install: Callable[[], None]) -> None:
    """Call `install` unless it has succeeded in this folder for the same packages. Processes take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    installed = folder / ".installed"
    with FileLock(folder / ".lock"):
        if installed.is_file() and installed.read_text(encoding="utf-8") == "\n".join(wanted):
            return
        install()
        installed.write_text("\n".join(wanted), encoding="utf-8")


def _run(*command: str) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"no registry answered within {_SECONDS} s: {' '.join(command)}") from None
    if ended.returncode != 0:
        words = (ended.stderr or ended.stdout).strip()[-600:]
        raise NotInstalledError(f"{' '.join(command)} failed with status {ended.returncode}: {words}")
