"""Sizes in bytes, as users write them and as commands print them."""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.ASCII)
_UNITS: Final = {
    None: 1,
    **{prefix: 1000**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}i": 1024**power for power, prefix in enumerate("kmgt", 1)},
}
_GB: Final = 1000**3


def parse_size(text: str) -> int:
    """Bytes: a number, then B, kB, MB, GB or TB, or KiB, MiB, GiB or TiB. Case and the B are optional.

    Raises:
        ValueError: the text is something else; the message gives examples.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write 512MB, 4GB or 2GiB")
    return int(float(match[1]) * _UNITS[match[2]])


def format_size(num_bytes: int) -> str:
    """`12.34 GB`, or `123.4 MB` below one gigabyte."""
    return f"{num_bytes / _GB:.2f} GB" if abs(num_bytes) >= _GB else f"{num_bytes / 1000**2:.1f} MB"


def format_gigabytes(num_bytes: float) -> str:
    """`12.3 GB`: for machines, limits and lists, where the second digit says nothing."""
    return f"{num_bytes / _GB:.1f} GB"
