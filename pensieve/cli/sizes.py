"""Sizes in bytes, as users write them and as commands print them."""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.ASCII)
_DECIMAL: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY: Final = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_UNITS: Final = _DECIMAL | _BINARY
_SHARE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*%", re.ASCII)
_GB: Final = 1000**3
_MAX_CHARACTERS: Final = 40


def parse_size(text: str) -> int:
    """Bytes: a number, then B, kB, MB, GB or TB, or KiB, MiB, GiB or TiB. Case and the B are optional.

    Raises:
        ValueError: the text is something else; the message gives examples.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or len(text) > _MAX_CHARACTERS:
        raise ValueError(f"{shortened(text)} is not a size: write 512MB, 4GB or 2GiB")
    return int(float(match[1]) * _UNITS[match[2] or ""])


def shortened(text: str) -> str:
    """The text in quotation marks, for an error."""
    return repr(text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…")


class Share(float):
    """A part of a whole, from 0 to 1, written in percent."""


Size = int | Share
"""Bytes, or a share of a whole that depends on where the size is used: of the machine's memory, of the free disk."""


def parse_size_or_share(text: str) -> Size:
    """A size as `parse_size` reads it, or a percentage up to 100 %.

    Raises:
        ValueError: the text is something else; the message gives examples.
    """
    match = _SHARE.fullmatch(text.strip())
    if match is not None and float(match[1]) <= 100:
        return Share(float(match[1]) / 100)
    try:
        return parse_size(text)
    except ValueError:
        raise ValueError(f"{shortened(text)} is not a size: write 512MB, 4GB, 2GiB or 75%") from None


def bytes_of(size: Size, whole_bytes: int) -> int:
    return int(size * whole_bytes) if isinstance(size, Share) else size


def format_size(num_bytes: int) -> str:
    """`12.34 GB`, or `123.4 MB` below one gigabyte."""
    return f"{num_bytes / _GB:.2f} GB" if abs(num_bytes) >= _GB else f"{num_bytes / 1000**2:.1f} MB"


def format_gigabytes(num_bytes: float) -> str:
    """`12.3 GB`: for machines, limits and lists, where the second digit says nothing."""
    return f"{num_bytes / _GB:.1f} GB"


def format_duration(seconds: float) -> str:
    """`350 ms`, `12.3 s`, `4 min`, `2 h 5 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min".replace(" 0 min", "")
