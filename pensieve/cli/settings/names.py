"""The names of settings and variables, and which of them a wrong name probably means (U9)."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from pensieve.cli.settings.table import TABLE

PREFIX: Final = "PENSIEVE_"
OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "PENSIEVE_HOME": "the folder for models, caches, logs and the settings file (default: the user's cache folder)",
    "PENSIEVE_CONFIG": "the settings file (default: config.toml in PENSIEVE_HOME or the user's folder for settings)",
    "PENSIEVE_BLAS": "the matrix library on a CPU: auto, mkl, openblas, bundled, or a path (default: auto)",
    "PENSIEVE_CLAUDE": "the path of the Claude Code program, for `pensieve launch claude`",
}
"""Those without a setting of `pensieve serve`."""
_INTERNAL: Final = ("PENSIEVE_SUPERVISED",)

_SYNONYMS: Final[Mapping[str, str]] = {
    "ctx_size": "context",
    "context_length": "context",
    "context_window": "context",
    "max_model_len": "context",
    "num_ctx": "context",
    "window": "context",
    "keep_alive": "idle_unload",
    "ttl": "idle_unload",
    "name": "alias",
    "chat_template_kwargs": "template_arguments",
    "chat_template_args": "template_arguments",
    "temp": "temperature",
    "repeat_penalty": "repetition_penalty",
    "bind": "host",
    "max_concurrency": "max_batch_size",
    "num_parallel": "max_batch_size",
}
"""What other servers call a setting."""


def likely_name(name: str, names: Collection[str]) -> str | None:
    """Of `names`, the one that is meant by `name`, or None."""
    synonym = _SYNONYMS.get(name.lower())
    if synonym in names:
        return synonym
    close = difflib.get_close_matches(name, names, n=1)
    return close[0] if close else None


def known_variables() -> tuple[str, ...]:
    return (*(setting.variable for setting in TABLE), *OTHER_VARIABLES)


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that has the prefix but no meaning."""
    known = known_variables()
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in (*known, *_INTERNAL):
            likely = likely_name(
                name.removeprefix(PREFIX).lower(), [each.removeprefix(PREFIX).lower() for each in known]
            )
            meant = f"; did you mean {PREFIX}{likely.upper()}?" if likely else ""
            yield f"{name} is not a variable of Pensieve{meant}"
