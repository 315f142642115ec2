"""Decompresses request bodies, without letting a small one become a large one."""

from __future__ import annotations

import zlib
from typing import Final

from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from pensieve.core.errors import ValidationError

ACCEPTED: Final = "gzip"
_PLAIN: Final = frozenset({"", "identity"})
_GZIP: Final = frozenset({"gzip", "x-gzip"})
_GZIP_ONLY: Final = 16 + zlib.MAX_WBITS
"""zlib's number for a gzip header, which it requires then."""


def is_compressed(content_encoding: str) -> bool:
    """Whether a body with this header is compressed.

    Raises:
        UnsupportedMediaType: by another method than gzip.
    """
    name = content_encoding.strip().lower()
    if name not in _PLAIN | _GZIP:
        raise UnsupportedMediaType(
            f"content-encoding: {content_encoding!r} is not supported: send the body as it is, or compressed with "
            f"{ACCEPTED}"
        )
    return name in _GZIP


def decompressed(body: bytes, max_bytes: int) -> bytes:
    """The content of a gzip file with one member, as HTTP clients write it.

    Raises:
        RequestEntityTooLarge: it is larger than `max_bytes`. No more than that is decompressed.
        ValidationError: it is damaged or cut off.
    """
    member = zlib.decompressobj(_GZIP_ONLY)
    try:
        content = member.decompress(body, max_bytes + 1)
    except zlib.error:
        raise _damaged() from None
    if len(content) > max_bytes:
        raise RequestEntityTooLarge
    if not member.eof or member.unused_data:
        raise _damaged()
    return content


def _damaged() -> ValidationError:
    return ValidationError("body", "the request body is not valid gzip, though its content-encoding says so")
