"""A command that ends with the process that started it: `python -m pensieve.cli.parent_watch PID COMMAND ...`.

For servers that belong to another program: it need not, and after a kill -9 could not, end them itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from pensieve.cli.main import main

_SECONDS_BETWEEN_LOOKS = 0.5


def end_with(parent_pid: int) -> None:
    """From now on, this process gets a SIGTERM once `parent_pid`, which started it, has ended.

    A process whose parent ends gets another one, so the number cannot be mistaken for a later process of that number.
    """
    threading.Thread(target=_watch, args=(parent_pid,), name="pensieve-parent", daemon=True).start()


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
