"""A network with nothing but the loopback interface, for threads and processes that are started in it.

It needs Linux and root. Elsewhere the tests run in the machine's own network, where settings ask Claude Code to avoid
other connections but nothing enforces it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


class LoopbackOnly:
    """A network namespace, if the system permits one. `is_isolated` says whether it does."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        if sys.platform != "linux":
            return
        outside = _open_current()
        try:
            _call("unshare", _CLONE_NEWNET)
        except OSError:
            os.close(outside)
            return
        try:
            self._descriptor = _open_current()
            _bring_loopback_up()
        finally:
            _call("setns", outside, _CLONE_NEWNET)
            os.close(outside)

    @property
    def is_isolated(self) -> bool:
        return self._descriptor is not None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread into the network until the block ends. Processes that it starts there stay inside."""
        if self._descriptor is None:
            yield
            return
        outside = _open_current()
        _call("setns", self._descriptor, _CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", outside, _CLONE_NEWNET)
            os.close(outside)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def _open_current() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _call(name: str, *arguments: int) -> None:
    """Call a function of libc that Python only has since 3.12.

    Raises:
        OSError: it is not permitted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
