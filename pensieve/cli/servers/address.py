"""Addresses of servers, as users write them."""

from __future__ import annotations

from urllib.parse import urlsplit

from pensieve.cli.settings.values import MAX_PORT, port
from pensieve.cli.sizes import shortened


def server_url(text: str) -> str:
    """The URL without a trailing slash or /v1, which clients add themselves.

    Raises:
        ValueError: it is not an http or https URL.
    """
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError(f"{text!r} is not the URL of a server, such as http://127.0.0.1:8765")
    return text.rstrip("/").removesuffix("/v1").rstrip("/")


def server_port(text: str) -> int:
    """
    Raises:
        ValueError: no server can be reached at this port.
    """
    try:
        number = port(text)
    except ValueError:
        number = 0
    if not number:
        raise ValueError(f"{shortened(text)} is not a port from 1 to {MAX_PORT}")
    return number
