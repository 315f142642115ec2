"""Why a line of the documentation is not run here."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import Final

import psutil

from pensieve.cli.sizes import parse_size
from tests.docs.command_lines import ShellLine

PAGES_FOR_CONTRIBUTORS: Final = {
    "CONTRIBUTING.md",
    "docs/mac.md",
    "docs/performance.md",
    "docs/reliability.md",
    "docs/testing-with-claude-code.md",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """`mark` is what a page for users has to say if it shows such a line; None if the line is run elsewhere in CI."""

    pattern: str
    text: str
    mark: str | None = None


REASONS: Final = (
    Reason(r"^(xcode-select|brew|python3\.12) ", "needs a Mac", "No Mac was at hand"),
    Reason(r"^(uv|pipx?) ", "installs Pensieve: tox -e newcomer runs it"),
    Reason(r"^(python3 -m venv|\.venv/bin/|pip install)", "sets up a clone: the first lines of CI"),
    Reason(r"^tox ", "an environment of tox, each of which is a job or takes hours"),
    Reason(r"^(pytest|python -m perf_gates)", "a part of tox -e features or tox -e perfgates"),
    Reason(r"^git clone", "the address of the repository is not known here"),
    Reason(r"^npm .*claude-code", "installs Claude Code: tox -e claudecode runs it", "tox -e claudecode"),
    Reason(r"^(\w+=\S+ )?pensieve launch claude(?!.*--print-env)", "starts Claude Code", "tox -e claudecode"),
    Reason(r"^pensieve chat$", "waits for a person: tests/cli/chat talks to it on a terminal"),
    Reason(r"^pensieve service ", "needs systemd or launchd", "tox -e service"),
    Reason(r"^docker ", "needs Docker", "†"),
    Reason(r"^(claude|qwen|aider|llm|export)\b", "another program's", "tox -e clients"),
    Reason(r"\| iex$", "needs PowerShell", "†"),
)
_FISH: Final = Reason(r"\| source$", "needs fish, which is not on this machine", "†")
_MEMORY: Final = Reason(r"--memory-limit (\S+)", "needs a machine with more memory", "†")


def reason_of(line: ShellLine) -> Reason | None:
    text = without_comment(line.text)
    if re.search(_FISH.pattern, text):
        return None if shutil.which("fish") else _FISH
    limit = re.search(_MEMORY.pattern, text)
    if limit and parse_size(limit[1]) > psutil.virtual_memory().total:
        return _MEMORY
    return next((reason for reason in REASONS if re.search(reason.pattern, text)), None)


def without_comment(text: str) -> str:
    return re.sub(r"\s+#\s.*$", "", text.strip())
