"""`pensieve config edit`: opens the settings file in the user's editor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pensieve.cli.config.examples import EXAMPLES
from pensieve.cli.settings.file import MODELS
from pensieve.cli.settings.setting import Setting
from pensieve.cli.settings.table import MODEL_TABLE, TABLE

_EDITORS: Final = ("sensible-editor", "nano", "vim", "vi")
_MODE: Final = 0o600
"""The file may hold a key."""


def edit(path: Path, environment: Mapping[str, str]) -> int:
    """Open the file, made if there is none, and wait for the editor. Returns an exit status."""
    chosen = environment.get("VISUAL") or environment.get("EDITOR")
    command = shlex.split(chosen) if chosen else [name for name in _EDITORS if shutil.which(name)][:1]
    if not command:
        return _fail(f"no editor was found: set EDITOR, or edit {path} yourself")
    try:
        make_starter(path)
        return subprocess.run([*command, str(path)], check=False).returncode  # noqa: S603 - the user's own editor
    except OSError as error:
        return _fail(f"cannot edit {path}: {error}")


def make_starter(path: Path) -> None:
    """Write a file of comments, unless there is a file.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        return
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(starter_text())


def starter_text() -> str:
    """Every setting as a comment, so that nothing is set."""
    return "\n".join(
        [
            "# The settings of `pensieve serve`. Remove a # to set something; `pensieve config check` checks the file.",
            "# Environment variables and flags override what is here. docs/settings.md describes every setting.",
            "",
            *(line for setting in TABLE if setting.name != "model_settings" for line in _lines(setting)),
            "# Settings of one model, under its name; they override those above. Server settings cannot follow here.",
            f'# [{MODELS}."organisation/name"]',
            *(f"# {setting.name} = {EXAMPLES[setting.name]}" for setting in MODEL_TABLE),
            "",
        ]
    )


def _lines(setting: Setting) -> Iterator[str]:
    text = f"{setting.sentence} (default: {setting.default_text})"
    yield from textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")
    yield f"# {setting.name} = {EXAMPLES[setting.name]}"
    yield ""


def _fail(sentence: str) -> int:
    print(f"pensieve: {sentence}", file=sys.stderr)
    return 1
