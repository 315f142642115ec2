"""Settings as users write them, read: each raises ValueError with what is wrong and what to write instead."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, Literal

from pensieve.core.defaults.model_settings import ThinkingMode
from pensieve.core.defaults.sampling import ALLOWED

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgKMG]?)[bB]?", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smhSMH]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}

MAX_PORT: Final = 65535


def port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MAX_PORT:
        raise ValueError(f"{text!r} is no port from 0 to {MAX_PORT}")
    return int(text)


def count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is no whole number above 0")
    return int(text)


def grace_seconds(text: str) -> float:
    seconds = float(text)
    if not 0.0 <= seconds <= 3600.0:
        raise ValueError(f"{text!r} is no number of seconds from 0 to 3600")
    return seconds


def num_bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size: write 512MB, 4GB or 0")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def limit_bytes(text: str) -> int:
    found = num_bytes(text)
    if not found:
        raise ValueError(f"{text!r} leaves no memory for a model")
    return found


def kv_bits(text: str) -> Literal[8]:
    if text != "8":
        raise ValueError(f"{text!r} bits are none that keys and values can be kept in: 8, or leave it out")
    return 8


def duration(text: str) -> float:
    found = _DURATION.fullmatch(text.strip())
    if text.strip().lower() == "never" or (found is not None and not float(found[1])):
        return math.inf
    if found is None:
        raise ValueError(f"{text!r} is no time: write 90, 90s, 10m, 2h or never")
    return float(found[1]) * _SECONDS[found[2].lower()]


def level(text: str) -> str:
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError(f"{text!r} is none of debug, info, warning, error")
    return text.upper()


def switch(text: str) -> bool:
    if text.lower() not in ("1", "0", "true", "false", "yes", "no"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() in ("1", "true", "yes")


def listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())


def parameter(name: str) -> Callable[[str], float]:
    """A reader of one of the sampling parameters."""
    allowed = ALLOWED[name]

    def read(text: str) -> float:
        try:
            value = int(text) if allowed.kinds == (int,) else float(text)
        except ValueError:
            value = math.nan
        if not allowed.holds(value):
            raise ValueError(f"{text!r} is not {allowed.sentence}")
        return value

    return read


def thinking(text: str) -> ThinkingMode:
    try:
        return ThinkingMode(text.lower())
    except ValueError:
        raise ValueError(f"{text!r} is not auto or off") from None
