"""Target files: which server to judge, what it declares, what is switched off, and what is expected to fail.

    name = "Some server 2.0"
    note = "What a reader of its scorecard should know."   # optional
    model = "its-model"               # the model to request; by default the first in /v1/models
    api_key_env = "SOME_SERVER_KEY"   # the environment variable that holds its key
    capabilities = "all"              # or a list of names from features/capabilities.toml
    without = ["images"]              # except these

    [server]                          # url or command; the same for each role below that it can play
    command = ["{python}", "-m", "some_server", "--port", "{port}"]
    [scripted]                        # plays {script}, for slow and failing requests
    [guarded]                         # requires the key {key}
    [rate_limited]                    # allows three requests a minute for each client

    [disabled]                        # declared, but not judged for now
    openai = "why"

    [[expected_failure]]              # a scenario that is known to fail; if it passes, the run fails
    id = "some-scenario"
    reason = "why"

A command may contain {python}, {port}, {script}, {key} and {folder}, the value of --model-folder.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from features.harness.outline.capabilities import UnknownCapabilityError, registry

FEATURES = Path(__file__).parents[2]
TARGETS = FEATURES / "targets"
REFERENCE = "reference"
ALL = "all"
_ID_TAG = re.compile(r"@id:(\S+)")
_KEYS = frozenset({"name", "note", "model", "api_key_env", "capabilities", "without", "disabled", "expected_failure"})


class TargetFileError(ValueError):
    """A target file cannot be read or contradicts the suite. The message names the file, the key and the problem."""


class ServerRole(Enum):
    """The roles that the server under test can play; each is a separate server, started when a scenario needs it."""

    SERVER = "server"
    SCRIPTED = "scripted"
    GUARDED = "guarded"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server: its URL, or the command that starts it."""

    url: str | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetFile:
    """`capabilities` is None for a bare URL, which is taken to have all. `path` is None without a file."""

    name: str
    roles: Mapping[ServerRole, Access]
    note: str = ""
    model: str | None = None
    api_key_env: str | None = None
    capabilities: frozenset[str] | None = None
    disabled: Mapping[str, str] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None


def find_target(name: str) -> TargetFile:
    """The target for a URL, for the path of a target file, or for the name of a file in features/targets.

    Raises:
        TargetFileError: the file does not exist or cannot be read.
    """
    if re.match(r"https?://", name):
        return TargetFile(name, {ServerRole.SERVER: Access(name)})
    path = Path(name) if name.endswith(".toml") else TARGETS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in TARGETS.glob("*.toml")))
        raise TargetFileError(f"unknown target {name}: pass a URL, a .toml file, or one of {known}")
    return load_target(path)


def load_target(path: Path) -> TargetFile:
    """Read a target file.

    Raises:
        TargetFileError: the file is not TOML, has an unknown key, or names an unknown capability or scenario.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return _target(table, path)
    except UnknownCapabilityError as error:
        raise TargetFileError(str(error)) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TargetFileError(f"{path}: {error!r}") from error


def known_ids() -> frozenset[str]:
    """The ids of all scenarios, whichever part of the suite is run."""
    chapters = FEATURES.rglob("*.feature")
    return frozenset(slug for chapter in chapters for slug in _ID_TAG.findall(chapter.read_text(encoding="utf-8")))


def _target(table: dict[str, Any], path: Path) -> TargetFile:
    roles = dict(_roles(table))
    if unknown := sorted(table.keys() - _KEYS - {role.value for role in ServerRole}):
        raise TargetFileError(f"{path}: unknown keys {unknown}; the keys are {sorted(_KEYS)} and a table for each role")
    if ServerRole.SERVER not in roles:
        raise TargetFileError(f"{path}: [server] is missing: add its url, or a command that starts it")
    failures = {row["id"]: row["reason"] for row in table.get("expected_failure", ())}
    if unknown := sorted(failures.keys() - known_ids()):
        raise TargetFileError(f"{path}: expected_failure: no scenario has the id {', '.join(unknown)}")
    registry().validated(table.get("disabled", {}), source=f"{path}: disabled")
    return TargetFile(
        name=table["name"],
        roles=roles,
        note=table.get("note", ""),
        model=table.get("model"),
        api_key_env=table.get("api_key_env"),
        capabilities=_declared(table, path),
        disabled=table.get("disabled", {}),
        expected_failures=failures,
        path=path,
    )


def _roles(table: dict[str, Any]) -> Iterator[tuple[ServerRole, Access]]:
    for role in ServerRole:
        if (row := table.get(role.value)) is not None:
            access = Access(row.get("url"), tuple(row.get("command", ())))
            if bool(access.url) == bool(access.command):
                raise TypeError(f"[{role.value}] needs either a url or a command")
            yield role, access


def _declared(table: dict[str, Any], path: Path) -> frozenset[str]:
    listed = table["capabilities"]
    declared = registry().capabilities if listed == ALL else listed
    without = registry().validated(table.get("without", ()), source=f"{path}: without")
    return registry().validated(declared, source=f"{path}: capabilities") - without
