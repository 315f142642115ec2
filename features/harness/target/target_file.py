"""Target files: whom to judge, what it declares, what is switched off, and what is known to fail.

    name = "Some server 2.0"
    note = "What a reader of its scorecard has to know."   # optional
    model = "its-model"               # to ask for; else the first of /v1/models
    api_key_env = "SOME_SERVER_KEY"   # the environment variable that holds its key
    capabilities = "all"              # or a list of names out of features/capabilities.toml
    without = ["images"]              # all but these

    [server]                          # one of url and command; so for each role that it can play
    command = ["{python}", "-m", "some_server", "--port", "{port}"]
    [scripted]                        # plays {script}: for the scenarios of pace and faults
    [guarded]                         # demands the key {key}
    [rate_limited]                    # takes three requests a minute from each key

    [disabled]                        # declared, and not judged now
    openai = "why"

    [[expected_failure]]              # a scenario that is known to fail; that it passes is news, and fails the run
    id = "some-scenario"
    reason = "why"

A command may hold {python}, {port}, {script}, {key}, and {folder}: what --model-folder says.
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
    """A target file cannot be read or contradicts the suite. The message says which file, where, and why."""


class Role(Enum):
    """The parts that a server under test may be asked to play; each is a server of its own, started when needed."""

    SERVER = "server"
    SCRIPTED = "scripted"
    GUARDED = "guarded"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True)
class Access:
    """How to get at a server: where it is, or how it is started."""

    url: str | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetFile:
    """`capabilities` is None where all are presumed, because nobody has said. `path` is None without a file."""

    name: str
    roles: Mapping[Role, Access]
    note: str = ""
    model: str | None = None
    api_key_env: str | None = None
    capabilities: frozenset[str] | None = None
    disabled: Mapping[str, str] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None


def find_target(asked: str) -> TargetFile:
    """The target that a command line names: by URL, by file, or by the name of a file in features/targets.

    Raises:
        TargetFileError: there is no such file, or it cannot be read.
    """
    if re.match(r"https?://", asked):
        return TargetFile(asked, {Role.SERVER: Access(asked)})
    path = Path(asked) if asked.endswith(".toml") else TARGETS / f"{asked}.toml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in TARGETS.glob("*.toml")))
        raise TargetFileError(f"there is no target {asked}: give a URL, a .toml file, or one of {known}")
    return load_target(path)


def load_target(path: Path) -> TargetFile:
    """Read a target file.

    Raises:
        TargetFileError: it is no TOML, has an unknown key, or names a capability or a scenario that the suite has not.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return _target(table, path)
    except UnknownCapabilityError as error:
        raise TargetFileError(str(error)) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TargetFileError(f"{path}: {error!r}") from error


def known_ids() -> frozenset[str]:
    """The ids of all scenarios, whatever part of the suite is run."""
    chapters = FEATURES.rglob("*.feature")
    return frozenset(slug for chapter in chapters for slug in _ID_TAG.findall(chapter.read_text(encoding="utf-8")))


def _target(table: dict[str, Any], path: Path) -> TargetFile:
    roles = dict(_roles(table))
    if unknown := sorted(table.keys() - _KEYS - {role.value for role in Role}):
        raise TargetFileError(f"{path}: unknown keys {unknown}; known are {sorted(_KEYS)} and a table for each role")
    if Role.SERVER not in roles:
        raise TargetFileError(f"{path}: [server] is missing: a url, or a command to start it")
    failures = {row["id"]: row["reason"] for row in table.get("expected_failure", ())}
    if unknown := sorted(failures.keys() - known_ids()):
        raise TargetFileError(f"{path}: expected_failure names no scenario by {', '.join(unknown)}")
    registry().known(table.get("disabled", {}), source=f"{path}: disabled")
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


def _roles(table: dict[str, Any]) -> Iterator[tuple[Role, Access]]:
    for role in Role:
        if (row := table.get(role.value)) is not None:
            access = Access(row.get("url"), tuple(row.get("command", ())))
            if bool(access.url) == bool(access.command):
                raise TypeError(f"[{role.value}] has to have either a url or a command")
            yield role, access


def _declared(table: dict[str, Any], path: Path) -> frozenset[str]:
    told = table["capabilities"]
    declared = registry().capabilities if told == ALL else told
    without = registry().known(table.get("without", ()), source=f"{path}: without")
    return registry().known(declared, source=f"{path}: capabilities") - without
