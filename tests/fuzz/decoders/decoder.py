"""What a decoder is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Decoder:
    """`read` takes the bytes and a folder for files. It may raise a PensieveError, a RequestEntityTooLarge or one of
    the `refusals`, whose sentence names the file as `refusal_names`.
    """

    seed: Callable[[Path], bytes]
    read: Callable[[bytes, Path], object]
    is_json: bool = False
    refusals: tuple[type[Exception], ...] = ()
    refusal_names: str = ""
