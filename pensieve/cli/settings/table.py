"""Every setting of `pensieve serve`: flag, environment variable, key in the settings file, default and help (U5)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from pensieve.cli.settings import values
from pensieve.cli.settings.setting import Setting
from pensieve.cli.settings.settings import (
    DEFAULT_CACHE_WRITES,
    DEFAULT_MAX_BATCH_SIZE,
    DEFAULT_MAX_QUEUED,
    DEFAULT_PORT,
)
from pensieve.cli.sizes import parse_size_or_share

TABLE: Final = (
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
        values.api_key,
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
        values.origins,
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
        parse_size_or_share,
        None,
        "memory for the prompt cache of each loaded model, a size or a share of --memory-limit; 0 turns it off "
        "(default: half of --memory-limit; weights and running requests take precedence)",
        "SIZE",
    ),
    Setting(
        "cache_disk",
        parse_size_or_share,
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
        "context",
        values.context_tokens,
        None,
        "the largest context window: the tokens that a prompt and its answer may have together "
        "(default: the model's own, or what fits into memory)",
        "TOKENS",
        per_model=True,
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
        per_model=True,
    ),
    Setting(
        "no_speculation",
        values.switch,
        default=False,
        help="turn off speculative decoding; the answers stay the same, only slower",
    ),
    Setting(
        "no_mtp",
        values.switch,
        default=False,
        help="do not load a model's own multi-token-prediction (MTP) head, which drafts tokens for it to verify; the "
        "answers stay the same",
    ),
    Setting(
        "draft_model",
        str,
        None,
        "a small model with the vocabulary of --model that drafts tokens for it to verify; faster, with the same "
        "answers (default: none)",
        "M",
        per_model=True,
    ),
    *(
        Setting(
            name,
            values.sampling_parameter(name),
            None,
            f"the {what} of requests that do not set one (default: the model's own{fallback})",
            "N",
            per_model=True,
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
        per_model=True,
    ),
    Setting(
        "max_thinking_tokens",
        values.positive_int,
        None,
        "the most tokens that an answer may spend on thinking, whatever the request allows (default: unlimited)",
        "N",
        per_model=True,
    ),
    Setting(
        "model_settings",
        Path,
        None,
        "a TOML file with a table per model, which overrides the settings above for that model",
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
    Setting("log_level", values.log_level, "INFO", "debug, info, warning or error (default: info)", "LEVEL"),
    Setting("log_format", values.log_format, None, "text or json (default: text on a terminal, else json)", "FORMAT"),
    Setting(
        "log_file",
        values.path,
        None,
        "write the log to this file too; it is rotated at 10 MB, and five older files are kept (default: none)",
        "FILE",
    ),
    Setting(
        "log_prompts",
        values.path,
        None,
        "for debugging: write every prompt and answer to this folder, for its owner's eyes alone (default: none)",
        "DIR",
    ),
)


MODEL_TABLE: Final = (
    Setting("alias", values.model_name, None, "another name for the model, for clients and for --model", "NAME"),
    *(setting for setting in TABLE if setting.per_model),
    Setting(
        "template_arguments",
        values.template_arguments,
        None,
        "variables for the model's chat template, such as { enable_thinking = false }; they override what a request "
        "would set",
        "{ NAME = VALUE }",
    ),
)
"""What a model's table in a file may set. The first and the last have no flag."""


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
