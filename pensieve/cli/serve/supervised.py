"""The server's end of its supervisor (`pensieve.cli.serve.supervisor`): the socket it inherits, and signs of life."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

VARIABLE: Final = "PENSIEVE_SUPERVISED"
BEAT, READY, ANSWERED = b".", b"r", b"a"


class Supervised:
    """`listener` is the supervisor's socket. The methods may be called from any thread."""

    def __init__(self, listener_fd: int, beats_fd: int) -> None:
        for inherited in (listener_fd, beats_fd):
            os.set_inheritable(inherited, False)  # noqa: FBT003 - or another process could keep them open after this one
        os.set_blocking(beats_fd, False)
        self.listener = socket.socket(fileno=listener_fd)
        self._beats_fd = beats_fd
        self._num_answers = 0

    def note_ready(self) -> None:
        self._write(READY)

    def beat(self, num_answers: int) -> bool:
        """`num_answers` is the number of completed answers since the start. Returns whether there is a supervisor."""
        sign = ANSWERED if num_answers > self._num_answers else BEAT
        self._num_answers = num_answers
        return self._write(sign)

    def _write(self, sign: bytes) -> bool:
        try:
            os.write(self._beats_fd, sign)
        except BlockingIOError:
            return True  # it is stopped, and does not read
        except OSError:
            return False
        return True


def inherited(environment: MutableMapping[str, str] = os.environ) -> Supervised | None:
    """What the supervisor has passed to this process. Its own child processes do not see it."""
    value = environment.pop(VARIABLE, None)
    if value is None:
        return None
    listener_fd, beats_fd = map(int, value.split(","))
    return Supervised(listener_fd, beats_fd)
