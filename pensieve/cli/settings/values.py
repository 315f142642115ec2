"""Parsers for the values of settings. Each raises ValueError with what is wrong and what to write instead."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pensieve.api.http.access import ANY_ORIGIN, host_name
from pensieve.api.http.keys import KeyFile
from pensieve.cli.sizes import Size, parse_size, parse_size_or_share, shortened
from pensieve.core.defaults.model_settings import RESERVED_ARGUMENTS, ThinkingMode
from pensieve.core.defaults.sampling import ALLOWED
from pensieve.core.scheduling.validation import MIN_ANSWER_TOKENS

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?) ?([smhSMH]?)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@]+", re.ASCII)
"""Also of browsers' extensions, such as `chrome-extension://ID`."""
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no")

MAX_PORT: Final = 65535
MAX_NUMBER: Final = 10**12
"""Of what is counted: tokens, requests."""
MAX_GRACE_SECONDS: Final = 3600.0


def port(text: str) -> int:
    number = _whole_number(text)
    if number is None or number > MAX_PORT:
        raise ValueError(f"{shortened(text)} is not a port from 0 to {MAX_PORT}")
    return number


def positive_int(text: str) -> int:
    number = _whole_number(text)
    if not number:
        raise ValueError(f"{shortened(text)} is not a whole number above 0")
    return number


def context_tokens(text: str) -> int:
    number = _whole_number(text)
    if not number or number <= MIN_ANSWER_TOKENS:
        raise ValueError(
            f"{shortened(text)} is not a whole number above {MIN_ANSWER_TOKENS}, the tokens that an answer needs"
        )
    return number


def non_negative_int(text: str) -> int:
    number = _whole_number(text)
    if number is None:
        raise ValueError(f"{shortened(text)} is not a whole number of 0 or more")
    return number


def _whole_number(text: str) -> int | None:
    if not text.isascii() or not text.isdigit():
        return None
    if len(text) > len(str(MAX_NUMBER)) or int(text) > MAX_NUMBER:
        raise ValueError(f"{shortened(text)} is more than {MAX_NUMBER:,}")
    return int(text)


def grace_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds <= MAX_GRACE_SECONDS:
        raise ValueError(f"{shortened(text)} is not a number of seconds from 0 to {MAX_GRACE_SECONDS:.0f}")
    return seconds


def api_key(text: str) -> str:
    """A key from a file may end with a line feed."""
    key = text.strip()
    if not key.isascii() or not key.isprintable():
        raise ValueError("no client can send this key: use letters, digits and punctuation of ASCII")
    return key


def key_file(text: str) -> KeyFile:
    return KeyFile(path(text))


def memory_limit(text: str) -> Size:
    size = parse_size_or_share(text)
    if not size:
        raise ValueError(f"{shortened(text)} leaves no memory for a model")
    return size


def daily_bytes(text: str) -> int | None:
    """Bytes in a day, written as `50GB/day` or `50GB`; None for `unlimited`."""
    size = re.sub(r"\s*/\s*day$", "", text.strip().lower())
    if size == "unlimited":
        return None
    try:
        return parse_size(size)
    except ValueError:
        raise ValueError(f"{shortened(text)} is not a size in a day: write 50GB/day, 0 or unlimited") from None


def kv_bits(text: str) -> Literal[8]:
    if text != "8":
        raise ValueError(f"must be 8, or omitted, not {shortened(text)}")
    return 8


def duration(text: str) -> float:
    """Seconds; infinity for `never` and for 0."""
    match = _DURATION.fullmatch(text.strip())
    if text.strip().lower() == "never" or (match is not None and not float(match[1])):
        return math.inf
    if match is None:
        raise ValueError(f"{shortened(text)} is not a duration: write 90, 90s, 10m, 2h or never")
    return float(match[1]) * _SECONDS[match[2].lower()]


def log_level(text: str) -> str:
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError(f"{shortened(text)} is not debug, info, warning or error")
    return text.upper()


def log_format(text: str) -> Literal["text", "json"]:
    match text.lower():
        case "text":
            return "text"
        case "json":
            return "json"
        case _:
            raise ValueError(f"{shortened(text)} is not text or json")


def path(text: str) -> Path:
    """
    Raises:
        ValueError: it begins with `~name`, and there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text!r}: there is no user {text[1:].partition('/')[0]!r}") from None


def switch(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError(f"{shortened(text)} is neither true nor false")
    return text.lower() in _TRUE


def origins(text: str) -> tuple[str, ...]:
    """Origins as browsers send them, or `*`."""
    parts = comma_separated(text)
    for part in parts:
        if part != ANY_ORIGIN and not _ORIGIN.fullmatch(part):
            raise ValueError(f"{part!r} is not an origin: write it as in https://notes.example, without a path")
    return parts


def comma_separated(text: str) -> tuple[str, ...]:
    return tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())


def host(text: str) -> str:
    """An address to listen on; `[::1]` as in a URL means `::1`."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def host_names(text: str) -> tuple[str, ...]:
    """Names as in a Host header, in lower case; a port does not matter."""
    parts = comma_separated(text)
    for part in parts:
        if not host_name(part) or "/" in part or "@" in part:
            raise ValueError(f"{part!r} is not a host name: write it as in host.docker.internal, without http://")
    return tuple(host_name(part) for part in parts)


def sampling_parameter(name: str) -> Callable[[str], float]:
    """The parser of one sampling parameter, which accepts what the API accepts."""
    allowed = ALLOWED[name]

    def parse(text: str) -> float:
        try:
            value = int(text) if allowed.kinds == (int,) else float(text)
        except ValueError:
            value = math.nan
        if not allowed.holds(value):
            raise ValueError(f"{shortened(text)} is not {allowed.sentence}")
        return value

    return parse


def template_arguments(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Variables for a chat template, other than those of the conversation itself."""
    if reserved := sorted(table.keys() & RESERVED_ARGUMENTS):
        raise ValueError(f"{reserved[0]} comes from the request and cannot be set here")
    return dict(table)


def model_name(text: str) -> str:
    """A name that clients and the command line may use for a model."""
    if not _MODEL_NAME.fullmatch(text):
        raise ValueError(f"{shortened(text)} is not a name of up to 64 letters, digits, '.', '-', '_' and ':'")
    return text


def thinking(text: str) -> ThinkingMode:
    try:
        return ThinkingMode(text.lower())
    except ValueError:
        raise ValueError(f"{shortened(text)} is not auto or off") from None
