"""The socket that a server listens on."""

from __future__ import annotations

import errno
import socket
from typing import Final

SEND_BUFFER_BYTES: Final = 64 * 1024
"""What the operating system holds for a client that has not read it, in each connection. Left to itself, Linux holds up
to 4 MB, more than a whole answer: a client that reads nothing would look as if it read everything.
"""


def bind(host: str, port: int) -> socket.socket:
    """A socket that holds the port but does not listen yet, so that clients connect only once the model is ready."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # accepted sockets have it too
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def cannot_listen(host: str, port: int, error: OSError) -> str:
    flag = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
    return f"cannot listen on {host}:{port}: {error.strerror}; choose another with {flag}"


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
