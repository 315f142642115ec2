"""The stacks of all threads, for the log of a process in which something hangs."""

from __future__ import annotations

import sys
import threading
import traceback


def thread_stacks() -> str:
    """The stack of each Python thread, under its name. Frames of native code are not among them."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    )
