"""The signature of a thinking block, which clients send back unchanged (W15).

With `display: "omitted"` a client gets no thinking, but "a signature is returned for multi-turn continuity" (the SDK's
ThinkingConfigParam). So the signature holds the thinking, and the next turn's prompt has it as if it had been shown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import zlib
from typing import Final

MAX_THINKING_BYTES: Final = 4_000_000
"""More than any window holds. Compressed data of a few bytes can stand for more."""

_SIGNING_KEY: Final = secrets.token_bytes(32)
_DIGEST_BYTES: Final = 32


def signature_of(thinking: str, *, holds_thinking: bool = False) -> str:
    digest = hmac.digest(_SIGNING_KEY, thinking.encode(), hashlib.sha256)
    held = zlib.compress(thinking.encode()) if holds_thinking else b""
    return base64.b64encode(digest + held).decode()


def thinking_in(signature: str) -> str:
    """The thinking that a signature holds; empty for any other.

    The digest is not verified: the key does not outlive this process, and a client may send back any thinking anyway.
    """
    try:
        held = base64.b64decode(signature, validate=True)[_DIGEST_BYTES:]
        return zlib.decompressobj().decompress(held, MAX_THINKING_BYTES).decode() if held else ""
    except (binascii.Error, zlib.error, ValueError):
        return ""
