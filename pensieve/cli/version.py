"""`pensieve version`: this program and what it runs on."""

from __future__ import annotations

import argparse
import platform
from typing import Any, Final

from pensieve import __version__

_PACKAGES: Final = ("mlx", "mlx-lm", "transformers", "huggingface-hub")


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    commands.add_parser("version", help="print the versions of this program and of what it runs on")


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command has the same parameters
    """Run the command and return the exit status."""
    print(f"pensieve {__version__}")
    print(f"  Python           {platform.python_version()}")
    for package in _PACKAGES:
        print(f"  {package:<15}  {_version(package)}")
    print(f"  system           {platform.platform(terse=True)} {platform.machine()}")
    return 0


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - not needed for other commands

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
