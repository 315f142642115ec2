"""Every setting of `pensieve serve`, in one table: its flag, its environment variable, its default, its sentence (U5).

A flag is stronger than the environment. A value that cannot be read names the flag or the variable it came from.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from contracts.values.vocabulary import Sampling
from pensieve.api.http.access import is_loopback
from pensieve.cli.settings import values
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode

DEFAULT_PORT = 8765
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
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repetition_penalty: float | None
    thinking: ThinkingMode | None
    max_thinking_tokens: int | None
    model_settings: Path | None
    log_level: str

    @property
    def idle_seconds(self) -> float | None:
        """After which a model is unloaded; None for never."""
        seconds = self.idle_unload
        if seconds is None:
            seconds = IDLE_SECONDS_OF_SEVERAL if self.allow_models else math.inf
        return seconds if seconds < math.inf else None

    @property
    def of_every_model(self) -> ModelSettings:
        """What holds for a model that `model_settings` says nothing else of."""
        sampling = Sampling(self.temperature, self.top_p, self.top_k, self.min_p, self.repetition_penalty)
        return ModelSettings(sampling, self.thinking, self.max_thinking_tokens)


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    read: Callable[[str], Any]
    default: Any
    help: str
    metavar: str | None = None

    @property
    def flag(self) -> str:
        return "--" + self.name.removesuffix("s").replace("_", "-") if self.read is values.listed else self.kebab

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
    _Setting(
        "port", values.port, DEFAULT_PORT, f"the port to listen on; 0 takes a free one (default: {DEFAULT_PORT})", "P"
    ),
    _Setting("api_key", str, None, "the key that clients must send; better set as PENSIEVE_API_KEY", "K"),
    _Setting(
        "cors_origins",
        values.listed,
        (),
        "a web page's origin that may use the server, or *; may be repeated",
        "ORIGIN",
    ),
    _Setting(
        "script", Path, None, "play a script of answers instead of a model, or make --model say it: for tests", "FILE"
    ),
    _Setting(
        "checked",
        values.switch,
        default=False,
        help="run the contracts around every call, and fail where one is broken",
    ),
    _Setting(
        "grace_seconds",
        values.grace_seconds,
        10.0,
        "how long running answers may take to finish on stop (default: 10)",
        "S",
    ),
    _Setting(
        "rate_limit", values.count, None, "requests that a client may make in a minute (default: any number)", "N"
    ),
    _Setting(
        "cache_memory",
        values.num_bytes,
        None,
        "memory for computed prompts, so that the next turn need not compute them again; 0 keeps none "
        "(default: half of what the server may use; requests and weights come first)",
        "SIZE",
    ),
    _Setting(
        "cache_disk",
        values.num_bytes,
        None,
        "disk for computed prompts, which outlive a restart there; 0 keeps none (default: 10GB, or a tenth of the free "
        "space where that is less)",
        "SIZE",
    ),
    _Setting(
        "memory_limit",
        values.limit_bytes,
        None,
        "memory that models, prompts and answers may take in all (default: 12GB, or three quarters of what there is "
        "where that is less)",
        "SIZE",
    ),
    _Setting(
        "kv_bits",
        values.kv_bits,
        None,
        "8 keeps keys and values in 8 bits, for more tokens (default: the model's own type)",
        "8",
    ),
    _Setting(
        "allow_models",
        values.listed,
        (),
        "a model that clients may ask for by its name beside --model, loaded when they do; may be repeated",
        "M",
    ),
    _Setting(
        "idle_unload",
        values.duration,
        None,
        "unload a model that nobody used for so long, as 90s, 10m, 2h or never (default: 10m where there is an "
        "--allow-model, else never)",
        "TIME",
    ),
    _Setting(
        "no_speculation",
        values.switch,
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
    *(
        _Setting(
            name,
            values.parameter(name),
            None,
            f"{what} where a request has none (default: the model's own{beside})",
            "N",
        )
        for name, what, beside in (
            ("temperature", "the temperature", ", else 1.0"),
            ("top_p", "the top_p", ""),
            ("top_k", "the top_k, 0 for no bound,", ""),
            ("min_p", "the min_p", ""),
            ("repetition_penalty", "the repetition penalty", ""),
        )
    ),
    _Setting(
        "thinking",
        values.thinking,
        None,
        "auto has a model think where a request asks for it, off never (default: auto)",
        "auto|off",
    ),
    _Setting(
        "max_thinking_tokens",
        values.count,
        None,
        "tokens of thinking that an answer may have at most, whatever the request allows (default: any number)",
        "N",
    ),
    _Setting(
        "model_settings",
        Path,
        None,
        "a TOML file with a table for each model, of the seven settings above that differ for it",
        "FILE",
    ),
    _Setting("log_level", values.level, "WARNING", "debug, info, warning or error (default: warning)", "LEVEL"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One flag for each row of the table, without defaults: what is not given comes from elsewhere."""
    for setting in TABLE:
        text = f"{setting.help} [{setting.variable}]"
        if setting.read is values.switch:
            parser.add_argument(setting.flag, dest=setting.name, action="store_const", const="true", help=text)
        elif setting.read is values.listed:
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
