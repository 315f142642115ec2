"""A network of its own, with nothing in it but the loopback, for the threads and processes that are started in it.

Linux, and only for root: elsewhere the tests run in the machine's own network, where Claude Code is told to keep to
what it needs but nothing makes it.
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
    """A network namespace, made where that is allowed; `is_closed_off` says whether it was."""

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
    def is_closed_off(self) -> bool:
        return self._descriptor is not None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside until the block ends, and what it starts there stays inside."""
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
    """A function of libc that Python has only from 3.12 on.

    Raises:
        OSError: it is not allowed here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
