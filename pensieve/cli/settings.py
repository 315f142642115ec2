"""Every setting of `pensieve serve`, in one table: its flag, its environment variable, its default, its sentence (U5).

A flag is stronger than the environment. A value that cannot be read names the flag or the variable it came from.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pensieve.api.access import is_loopback

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgKMG]?)[bB]?", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smhSMH]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}

DEFAULT_PORT = 8765
MAX_PORT = 65535
IDLE_SECONDS_OF_SEVERAL = 600.0


class SettingsError(ValueError):
    """A setting cannot be read, or two of them contradict each other. The message says which, and the mend."""


@dataclass(frozen=True, slots=True)
class Settings:
    model: str | None
    host: str
    port: int
    api_key: str | None
    cors_origins: tuple[str, ...]
    script: Path | None
    checked: bool
    grace_seconds: float
    rate_limit: int | None
    cache_memory: int | None
    cache_disk: int | None
    memory_limit: int | None
    kv_bits: Literal[8] | None
    allow_models: tuple[str, ...]
    idle_unload: float | None
    no_speculation: bool
    draft_model: str | None
    log_level: str

    @property
    def idle_seconds(self) -> float | None:
        """After which a model is unloaded; None for never."""
        seconds = self.idle_unload
        if seconds is None:
            seconds = IDLE_SECONDS_OF_SEVERAL if self.allow_models else math.inf
        return seconds if seconds < math.inf else None


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MAX_PORT:
        raise ValueError(f"{text!r} is no port from 0 to {MAX_PORT}")
    return int(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is no whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.0 <= seconds <= 3600.0:
        raise ValueError(f"{text!r} is no number of seconds from 0 to 3600")
    return seconds


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size: write 512MB, 4GB or 0")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _limit(text: str) -> int:
    num_bytes = _bytes(text)
    if not num_bytes:
        raise ValueError(f"{text!r} leaves no memory for a model")
    return num_bytes


def _bits(text: str) -> Literal[8]:
    if text != "8":
        raise ValueError(f"{text!r} bits are none that keys and values can be kept in: 8, or leave it out")
    return 8


def _duration(text: str) -> float:
    found = _DURATION.fullmatch(text.strip())
    if text.strip().lower() == "never" or (found is not None and not float(found[1])):
        return math.inf
    if found is None:
        raise ValueError(f"{text!r} is no time: write 90, 90s, 10m, 2h or never")
    return float(found[1]) * _SECONDS[found[2].lower()]


def _level(text: str) -> str:
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError(f"{text!r} is none of debug, info, warning, error")
    return text.upper()


def _switch(text: str) -> bool:
    if text.lower() not in ("1", "0", "true", "false", "yes", "no"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() in ("1", "true", "yes")


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    read: Callable[[str], Any]
    default: Any
    help: str
    metavar: str | None = None

    @property
    def flag(self) -> str:
        return "--" + self.name.removesuffix("s").replace("_", "-") if self.read is _list else self.kebab

    @property
    def kebab(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "PENSIEVE_" + self.name.upper()


TABLE = (
    _Setting(
        "model", str, None, "a model folder, or org/name of the Hugging Face hub (default: the embedded one)", "M"
    ),
    _Setting("host", str, "127.0.0.1", "the address to listen on; any but a loopback one needs --api-key", "H"),
    _Setting("port", _port, DEFAULT_PORT, f"the port to listen on; 0 takes a free one (default: {DEFAULT_PORT})", "P"),
    _Setting("api_key", str, None, "the key that clients must send; better set as PENSIEVE_API_KEY", "K"),
    _Setting("cors_origins", _list, (), "a web page's origin that may use the server, or *; may be repeated", "ORIGIN"),
    _Setting(
        "script", Path, None, "play a script of answers instead of a model, or make --model say it: for tests", "FILE"
    ),
    _Setting(
        "checked", _switch, default=False, help="run the contracts around every call, and fail where one is broken"
    ),
    _Setting("grace_seconds", _seconds, 10.0, "how long running answers may take to finish on stop (default: 10)", "S"),
    _Setting("rate_limit", _count, None, "requests that a client may make in a minute (default: any number)", "N"),
    _Setting(
        "cache_memory",
        _bytes,
        None,
        "memory for computed prompts, so that the next turn need not compute them again; 0 keeps none "
        "(default: half of what the server may use; requests and weights come first)",
        "SIZE",
    ),
    _Setting(
        "cache_disk",
        _bytes,
        None,
        "disk for computed prompts, which outlive a restart there; 0 keeps none (default: 10GB, or a tenth of the free "
        "space where that is less)",
        "SIZE",
    ),
    _Setting(
        "memory_limit",
        _limit,
        None,
        "memory that models, prompts and answers may take in all (default: 12GB, or three quarters of what there is "
        "where that is less)",
        "SIZE",
    ),
    _Setting(
        "kv_bits",
        _bits,
        None,
        "8 keeps keys and values in 8 bits, for more tokens (default: the model's own type)",
        "8",
    ),
    _Setting(
        "allow_models",
        _list,
        (),
        "a model that clients may ask for by its name beside --model, loaded when they do; may be repeated",
        "M",
    ),
    _Setting(
        "idle_unload",
        _duration,
        None,
        "unload a model that nobody used for so long, as 90s, 10m, 2h or never (default: 10m where there is an "
        "--allow-model, else never)",
        "TIME",
    ),
    _Setting(
        "no_speculation",
        _switch,
        default=False,
        help="decode one token a pass, even where an answer repeats its prompt; the answers are the same",
    ),
    _Setting(
        "draft_model",
        str,
        None,
        "a small model of the same vocabulary that guesses what --model says next, which checks it: any that --model "
        "takes; the answers are the same (default: none)",
        "M",
    ),
    _Setting("log_level", _level, "WARNING", "debug, info, warning or error (default: warning)", "LEVEL"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One flag for each row of the table, without defaults: what is not given comes from elsewhere."""
    for setting in TABLE:
        text = f"{setting.help} [{setting.variable}]"
        if setting.read is _switch:
            parser.add_argument(setting.flag, dest=setting.name, action="store_const", const="true", help=text)
        elif setting.read is _list:
            parser.add_argument(setting.flag, dest=setting.name, action="append", metavar=setting.metavar, help=text)
        else:
            parser.add_argument(setting.flag, dest=setting.name, metavar=setting.metavar, help=text)


def read_settings(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that hold.

    Raises:
        SettingsError: a value cannot be read, or a bind to the network has no key (W19).
    """
    settings = Settings(**{setting.name: _value(setting, arguments, environment) for setting in TABLE})
    if not is_loopback(settings.host) and settings.api_key is None:
        raise SettingsError(
            f"--host {settings.host} can be reached from the network: set a key with --api-key or PENSIEVE_API_KEY, "
            "or stay on 127.0.0.1"
        )
    if settings.allow_models and settings.script is not None and settings.model is None:
        raise SettingsError("--allow-model: a --script without a --model plays no model, so there is none beside it")
    if settings.draft_model is not None:
        _check_draft_model(settings)
    return settings


def _check_draft_model(settings: Settings) -> None:
    if settings.no_speculation:
        raise SettingsError("--draft-model: with --no-speculation nothing is drafted; leave one of the two out")
    if settings.script is not None and settings.model is None:
        raise SettingsError("--draft-model: a --script without a --model plays no model, so there is none to draft for")


def _value(setting: _Setting, arguments: argparse.Namespace, environment: Mapping[str, str]) -> Any:
    given: str | Sequence[str] | None = getattr(arguments, setting.name, None)
    source = setting.flag
    if given is None:
        given, source = environment.get(setting.variable) or None, setting.variable
    if given is None:
        return setting.default
    try:
        return setting.read(given if isinstance(given, str) else ",".join(given))
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None
