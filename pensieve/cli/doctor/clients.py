"""Checks of what keeps clients from the server: Claude Code's version and settings files, and proxies."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pensieve.api.http.access import is_loopback
from pensieve.cli.doctor.check import IS_MAC, CheckResult, Subject, ok, problem
from pensieve.cli.launch.claude_environment import MODEL_VARIABLES, REMOVED
from pensieve.cli.launch.claude_program import find_claude
from pensieve.cli.launch.running_servers import LaunchError
from pensieve.models.library.user_path import user_path

_OVERRIDING: Final = ("ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", *MODEL_VARIABLES, *REMOVED)
_MANAGED: Final = Path(
    "/Library/Application Support/ClaudeCode/managed-settings.json"
    if IS_MAC
    else "/etc/claude-code/managed-settings.json"
)
_MIN_VERSION: Final = (2, 1)
"""The first whose environment `pensieve launch claude` knows."""


def claude_settings(subject: Subject, managed: Path = _MANAGED) -> CheckResult:
    """The `env` of a settings file overrides the environment; `launch` overrides the file, unless it is managed."""
    whats, fixes, paths = [], [], []
    for path in _settings_files(subject, managed):
        names, error = _overridden(path)
        paths.append(str(path))
        if error:
            whats.append(f"{path} cannot be read, and Claude Code ignores it: {error}")
            fixes.append(f"correct {path}")
        elif names:
            whats.append(f"{path} overrides {', '.join(names)}")
            fixes.append(_fix(path, managed))
    if not whats:
        return ok(f"{len(paths)} settings files, none of which overrides ours" if paths else "no settings files")
    return problem("; ".join(whats), "; ".join(dict.fromkeys(fixes)), *paths)


def _fix(path: Path, managed: Path) -> str:
    if path == managed:
        return "have the administrator of this machine remove that; no other setting can override it"
    return f"start Claude Code with `pensieve launch claude`, which overrides the file, or remove that from {path}"


def _settings_files(subject: Subject, managed: Path) -> Iterator[Path]:
    own = subject.environment.get("CLAUDE_CONFIG_DIR") or Path(subject.environment.get("HOME", "~"), ".claude")
    folders = dict.fromkeys((user_path(str(own)), subject.folder / ".claude"))
    files = (folder / name for folder in folders for name in ("settings.json", "settings.local.json"))
    yield from (path for path in (managed, *files) if path.is_file())


def _overridden(path: Path) -> tuple[list[str], str]:
    """What of ours the file overrides, and why it cannot be read, or ''. Values are never shown: they may be keys."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return [], getattr(error, "strerror", None) or "it is not JSON"
    if not isinstance(content, dict):
        return [], "it is not a JSON object"
    variables = content.get("env")
    variables = variables if isinstance(variables, dict) else {}
    if _is_ours(variables):
        return [], ""
    helper = ["apiKeyHelper"] if content.get("apiKeyHelper") else []
    return [*helper, *(name for name in _OVERRIDING if variables.get(name))], ""


def _is_ours(variables: Mapping[str, Any]) -> bool:
    """Whether the file is set up for a server on this machine."""
    try:
        return is_loopback(urlsplit(str(variables.get("ANTHROPIC_BASE_URL", ""))).hostname or "")
    except ValueError:
        return False


def proxy(subject: Subject) -> CheckResult:
    """SDKs send even requests to this machine to a proxy, unless NO_PROXY lists it."""
    found = {name.lower(): value for name, value in subject.environment.items() if name.lower().endswith("_proxy")}
    if not any(found.get(name) for name in ("http_proxy", "all_proxy")):
        return ok("none for http")
    exempt = {host.strip() for host in found.get("no_proxy", "").split(",")}
    if "*" in exempt or exempt >= {"127.0.0.1", "localhost"}:
        return ok("requests to this machine bypass it")
    return problem(
        "HTTP_PROXY or ALL_PROXY is set, and SDKs send requests to this machine to that proxy",
        'export NO_PROXY="127.0.0.1,localhost,$NO_PROXY"',
    )


def claude_version(subject: Subject) -> CheckResult:
    try:
        program = find_claude(subject.environment.get("PENSIEVE_CLAUDE") or None)
    except LaunchError:
        return ok("not installed; only `pensieve launch claude` needs it")
    shown = _version_of(program, subject.environment)
    match = re.match(r"(\d+)\.(\d+)", shown)
    if match is None:
        return problem("its version cannot be read", "npm install -g @anthropic-ai/claude-code")
    if (int(match[1]), int(match[2])) < _MIN_VERSION:
        return problem(f"{match[0]} is older than what `pensieve launch` is made for", "claude update")
    return ok(shown)


def _version_of(program: Path, environment: Mapping[str, str]) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - the user's own Claude Code
            (program, "--version"),
            env={**environment, "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip()
