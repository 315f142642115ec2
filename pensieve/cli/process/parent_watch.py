"""A command that ends with the process that started it: `python -m pensieve.cli.process.parent_watch PID COMMAND ...`.

For servers that belong to another program, which could not stop them itself after a kill -9.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from pensieve.cli.process.start import main

_POLL_SECONDS = 0.5


def exit_with_parent(parent_pid: int) -> None:
    """Send this process a SIGTERM once its parent, `parent_pid`, has ended.

    A process whose parent ends gets another parent, so a later process with the same id cannot be mistaken for it.
    """
    threading.Thread(target=_watch, args=(parent_pid,), name="pensieve-parent", daemon=True).start()


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    exit_with_parent(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
