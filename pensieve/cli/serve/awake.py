"""Keeps a Mac from going to sleep while requests are answered: a prefill may take longer than its user stays.

The lid still sends it to sleep, and the display may go dark. Not run on a Mac yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

log = logging.getLogger(__name__)

_CAFFEINATE: Final = ("/usr/bin/caffeinate", "-i", "-w", str(os.getpid()))
"""Without idle sleep, and no longer than this process lives."""
_POLL_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 5.0


async def hold_off_sleep(
    is_busy: Callable[[], bool],
    command: Sequence[str] | None = _CAFFEINATE if sys.platform == "darwin" else None,
    poll_seconds: float = _POLL_SECONDS,
) -> None:
    """Run `command` while `is_busy`, until this task is cancelled. Without a command there is nothing to do."""
    if command is None:
        return
    holder: subprocess.Popen[bytes] | None = None
    try:
        while True:
            if holder is not None and not (is_busy() and holder.poll() is None):
                await asyncio.to_thread(_end, holder)
                holder = None
            elif holder is None and is_busy():
                holder = _start(command)
            await asyncio.sleep(poll_seconds)
    except OSError as error:
        log.warning("this machine may go to sleep while requests run: %s cannot be started (%s)", command[0], error)
    finally:
        if holder is not None:
            _end(holder)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)  # noqa: S603 - our own command


def _end(holder: subprocess.Popen[bytes]) -> None:
    holder.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        holder.wait(_STOP_SECONDS)
        return
    holder.kill()
    holder.wait()
