"""Every setting of `pensieve serve` in one table: flag, environment variable, default and help text (U5).

A flag overrides its environment variable. An error names the flag or the variable that the value came from.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pensieve.api.http.access import is_loopback
from pensieve.cli.settings import values
from pensieve.cli.settings.log_settings import LOG_SETTINGS
from pensieve.cli.settings.setting import Setting
from pensieve.cli.settings.settings import (
    DEFAULT_CACHE_WRITES,
    DEFAULT_MAX_BATCH_SIZE,
    DEFAULT_MAX_QUEUED,
    DEFAULT_PORT,
    Settings,
    SettingsError,
)
from pensieve.cli.sizes import parse_size

TABLE = (
    Setting(
        "model",
        str,
        None,
        "the model to serve: a name from `pensieve models list`, a folder, or organisation/name on the Hugging Face "
        "hub (default: the embedded model)",
        "M",
    ),
    Setting(
        "host",
        values.host,
        "127.0.0.1",
        "the address to listen on (default: 127.0.0.1); any but a loopback address requires --api-key or --api-keys",
        "H",
    ),
    Setting(
        "port", values.port, DEFAULT_PORT, f"the port to listen on, 0 for any free one (default: {DEFAULT_PORT})", "P"
    ),
    Setting(
        "api_key",
        str,
        None,
        "the key that clients must send; prefer PENSIEVE_API_KEY, since other users can see flags",
        "K",
    ),
    Setting(
        "api_keys",
        values.key_file,
        None,
        "a file of named keys, one for each client, read again whenever it changes; each key has a prompt cache of its "
        "own, and keys in one table of the file share one",
        "FILE",
    ),
    Setting(
        "cors_origins",
        values.comma_separated,
        (),
        "allow web pages of this origin to use the server, * for all; may be repeated",
        "ORIGIN",
    ),
    Setting(
        "allow_hosts",
        values.host_names,
        (),
        "accept requests that reach a loopback server under this name too, such as host.docker.internal from a "
        "container; may be repeated",
        "NAME",
    ),
    Setting(
        "script",
        Path,
        None,
        "for tests: answer from this script instead of a model, or with --model, make the model generate it",
        "FILE",
    ),
    Setting(
        "checked",
        values.switch,
        default=False,
        help="for tests: check the contracts around every call, and fail when one is broken",
    ),
    Setting(
        "grace_seconds",
        values.grace_seconds,
        10.0,
        "how long running answers may take to finish when the server stops (default: 10)",
        "S",
    ),
    Setting(
        "rate_limit",
        values.positive_int,
        None,
        "how many requests each client, by its named key or else its address, may make per minute (default: unlimited)",
        "N",
    ),
    Setting(
        "max_batch_size",
        values.positive_int,
        DEFAULT_MAX_BATCH_SIZE,
        "how many requests each model answers at the same time; more need more memory "
        f"(default: {DEFAULT_MAX_BATCH_SIZE})",
        "N",
    ),
    Setting(
        "max_queued",
        values.non_negative_int,
        DEFAULT_MAX_QUEUED,
        "how many more requests may wait for each model; the next gets a 529 with retry-after "
        f"(default: {DEFAULT_MAX_QUEUED})",
        "N",
    ),
    Setting(
        "cache_memory",
        parse_size,
        None,
        "memory for the prompt cache, which saves computing earlier turns again; 0 turns it off "
        "(default: half of --memory-limit; weights and running requests take precedence)",
        "SIZE",
    ),
    Setting(
        "cache_disk",
        parse_size,
        None,
        "disk space for the prompt cache, which makes it survive a restart; 0 turns it off (default: 10GB, or a tenth "
        "of the free space if that is less)",
        "SIZE",
    ),
    Setting(
        "cache_writes",
        values.daily_bytes,
        DEFAULT_CACHE_WRITES,
        "what the prompt cache may write to disk in 24 hours, since writing wears out an SSD; what is worth most is "
        "written first; 0 for nothing, or unlimited (default: 50GB/day)",
        "SIZE/day",
    ),
    Setting(
        "memory_limit",
        values.memory_limit,
        None,
        "memory for models, prompts and answers together (default: 12GB, or three quarters of what the machine has if "
        "that is less)",
        "SIZE",
    ),
    Setting(
        "kv_bits",
        values.kv_bits,
        None,
        "8 stores keys and values in 8 bits, so that longer conversations fit (default: the model's own type)",
        "8",
    ),
    Setting(
        "allow_models",
        values.comma_separated,
        (),
        "another model that clients may request by name, loaded on its first request; may be repeated",
        "M",
    ),
    Setting(
        "idle_unload",
        values.duration,
        None,
        "unload a model after this long without a request: 90s, 10m, 2h or never (default: 10m with --allow-model, "
        "else never)",
        "TIME",
    ),
    Setting(
        "no_speculation",
        values.switch,
        default=False,
        help="turn off speculative decoding; the answers stay the same, only slower",
    ),
    Setting(
        "draft_model",
        str,
        None,
        "a small model with the vocabulary of --model that drafts tokens for it to verify; faster, with the same "
        "answers (default: none)",
        "M",
    ),
    *(
        Setting(
            name,
            values.sampling_parameter(name),
            None,
            f"the {what} of requests that do not set one (default: the model's own{fallback})",
            "N",
        )
        for name, what, fallback in (
            ("temperature", "temperature", ", else 1.0"),
            ("top_p", "top_p", ""),
            ("top_k", "top_k (0 for no limit)", ""),
            ("min_p", "min_p", ""),
            ("repetition_penalty", "repetition penalty", ""),
            ("presence_penalty", "presence penalty", ""),
            ("frequency_penalty", "frequency penalty", ""),
        )
    ),
    Setting(
        "thinking",
        values.thinking,
        None,
        "auto lets a model think when a request enables it, off never does (default: auto)",
        "auto|off",
    ),
    Setting(
        "max_thinking_tokens",
        values.positive_int,
        None,
        "the most tokens that an answer may spend on thinking, whatever the request allows (default: unlimited)",
        "N",
    ),
    Setting(
        "model_settings",
        Path,
        None,
        "a TOML file with a table per model, which overrides the nine settings above for that model",
        "FILE",
    ),
    Setting(
        "stall_timeout",
        values.duration,
        60.0,
        "how long a model with open requests may compute nothing before the server restarts: 60s, 5m or never; longer "
        "if its steps are slow (default: 60s)",
        "TIME",
    ),
    Setting(
        "no_supervise",
        values.switch,
        default=False,
        help="serve in this process, without a parent process that starts the server again after a crash",
    ),
    *LOG_SETTINGS,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag per setting. Flags have no defaults here, so that environment variables can supply what is missing."""
    for setting in TABLE:
        text = f"{setting.help} [{setting.variable}]"
        if setting.parse is values.switch:
            parser.add_argument(setting.flag, dest=setting.name, action="store_const", const="true", help=text)
        elif setting.is_repeatable:
            parser.add_argument(setting.flag, dest=setting.name, action="append", metavar=setting.metavar, help=text)
        else:
            parser.add_argument(setting.flag, dest=setting.name, metavar=setting.metavar, help=text)


def read_settings(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings from flags, environment variables and defaults, in this order of precedence.

    Raises:
        SettingsError: a value cannot be parsed, two contradict each other, or a network address has no key (W19).
    """
    settings = Settings(**{setting.name: _value(setting, arguments, environment) for setting in TABLE})
    if not is_loopback(settings.host) and settings.api_key is None and settings.api_keys is None:
        raise SettingsError(
            f"--host {settings.host} is reachable from the network: set a key with PENSIEVE_API_KEY or --api-key, "
            "or several with --api-keys, or stay on 127.0.0.1"
        )
    if settings.script is not None and settings.model is None:
        _check_script_alone(settings)
    if settings.draft_model is not None and settings.no_speculation:
        raise SettingsError("--draft-model: needs speculation; remove --no-speculation or --draft-model")
    return settings


def _check_script_alone(settings: Settings) -> None:
    """A script without a model replaces all models."""
    given = {"--allow-model": settings.allow_models, "--draft-model": settings.draft_model}
    for flag, value in given.items():
        if value:
            raise SettingsError(f"{flag}: does not work with a --script that replaces the model; add --model")


def _value(setting: Setting, arguments: argparse.Namespace, environment: Mapping[str, str]) -> Any:
    given: str | Sequence[str] | None = getattr(arguments, setting.name, None)
    source = setting.flag
    if given is None:
        given, source = environment.get(setting.variable) or None, setting.variable
    if given is None:
        return setting.default
    try:
        return setting.parse(given if isinstance(given, str) else ",".join(given))
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None
