"""The settings of the server's log (U7)."""

from __future__ import annotations

from typing import Final

from pensieve.cli.settings import values
from pensieve.cli.settings.setting import Setting

LOG_SETTINGS: Final = (
    Setting(
        "log_level",
        values.log_level,
        "INFO",
        "debug, info (a line for each request), warning or error (default: info)",
        "LEVEL",
    ),
    Setting(
        "log_format",
        values.log_format,
        None,
        "text or json (default: text on a terminal, else json)",
        "text|json",
    ),
    Setting(
        "log_file",
        values.path,
        None,
        "write the log to this file too; it is rotated at 10 MB, and five older files are kept",
        "FILE",
    ),
    Setting(
        "log_prompts",
        values.path,
        None,
        "write every prompt and answer to this folder, for debugging; only its owner can read it (default: none)",
        "DIR",
    ),
)
