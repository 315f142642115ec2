"""The target of a run: its target file and the command line combined."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from features.harness.outline.capabilities import registry
from features.harness.outline.options import SuiteOptions
from features.harness.target.target import SCRIPT, TargetServer, description_of_model, reach
from features.harness.target.target_file import (
    ALL,
    REFERENCE,
    Access,
    ServerRole,
    TargetFile,
    TargetFileError,
    find_target,
)

_MISSING: Mapping[ServerRole, str] = {
    ServerRole.SERVER: "the target has no server to judge",
    ServerRole.SCRIPTED: "this scenario needs a server that plays the suite's script: pass its URL as"
    " --scripted-target, or add [scripted] to the target file",
    ServerRole.GUARDED: "this scenario needs a server that requires a key: pass the key of --target as --api-key,"
    " or add [guarded] to the target file",
    ServerRole.RATE_LIMITED: "this scenario needs a server with a limit of three requests a minute: pass its URL as"
    " --rate-limited-target, or add [rate_limited] to the target file",
}


@dataclass(frozen=True, slots=True)
class JudgedTarget:
    """`declared` has every capability if neither the file nor the command line lists any."""

    file: TargetFile
    options: SuiteOptions
    declared: frozenset[str]
    api_key: str | None = field(default=None, repr=False)
    guard_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    @property
    def secrets(self) -> frozenset[str]:
        """Text that must not appear in any report."""
        return frozenset(filter(None, (self.api_key, self.options.second_api_key, self.guard_key)))

    @property
    def urls(self) -> list[str]:
        """The servers that run already, as opposed to those that the run starts."""
        accesses = [self.access(role) for role in ServerRole]
        return [access.url for access in accesses if access and access.url]

    def without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return text

    def why_unsupported(self, needed: frozenset[str]) -> str | None:
        missing = sorted(needed - self.declared)
        return f"{', '.join(missing)}: not declared by the target" if missing else None

    def why_disabled(self, needed: frozenset[str]) -> str | None:
        off = self.file.disabled
        return next((f"{name}: {off[name]}" for name in sorted(needed) if name in off), None)

    def why_missing(self, role: ServerRole) -> str:
        return _MISSING[role]

    def access(self, role: ServerRole) -> Access | None:
        """How to reach the server for a role; None if the target has none."""
        url = {
            ServerRole.SCRIPTED: self.options.scripted_target,
            ServerRole.RATE_LIMITED: self.options.rate_limited_target,
        }.get(role)
        access = Access(url) if url else self.file.roles.get(role)
        if access is None and role is ServerRole.GUARDED and self.api_key is not None:
            return self.file.roles[ServerRole.SERVER]
        return access

    def key_for(self, role: ServerRole, access: Access) -> str | None:
        """The key of a server: a random one if the run starts it with {key}, else the target's."""
        is_ours = role is ServerRole.GUARDED and any("{key}" in word for word in access.command)
        return self.guard_key if is_ours else self.api_key

    def model_for(self, role: ServerRole, access: Access) -> str | None:
        """The model to request; None, the first listed, where another server may serve another model."""
        is_under_test = role is ServerRole.SERVER or access == self.file.roles[ServerRole.SERVER]
        return (self.options.model or self.file.model) if is_under_test else None

    def command_of(self, access: Access) -> list[str]:
        """The words of a command with every placeholder but {port} filled in.

        Raises:
            TargetFileError: the command needs a folder, and --model-folder is missing.
        """
        folder = self.options.model_folder
        if folder is None and any("{folder}" in word for word in access.command):
            raise TargetFileError(f"the target {self.file.name} serves a model folder: pass it as --model-folder")
        values = {
            "{python}": sys.executable,
            "{script}": str(SCRIPT),
            "{key}": self.guard_key,
            "{folder}": folder or "",
        }
        return [_filled(word, values) for word in access.command]


JUDGED = pytest.StashKey[JudgedTarget]()
"""The target of the run, for its scenarios."""

UNDER_TEST = pytest.StashKey[TargetServer]()
"""The server under test, once it has been reached."""


def judged_target(options: SuiteOptions) -> JudgedTarget:
    """The target that the command line names, with every running server checked to be reachable.

    Raises:
        TargetFileError: the target is unknown, its file is invalid, or an option that it needs is missing.
        UnknownCapabilityError: the command line names an unknown capability.
        UnreachableError: a server that should be running does not answer.
    """
    file = find_target(options.target or REFERENCE)
    judged = JudgedTarget(file, options, _declared(file, options), _api_key(file, options))
    targets = {
        role: _reached(judged, role, access) for role in ServerRole if (access := judged.access(role)) is not None
    }
    under_test = targets[ServerRole.SERVER]
    if under_test is None or file.path is not None or options.capabilities is not None:
        return judged
    unsupported = registry().unsupported_by(description_of_model(under_test))
    return JudgedTarget(file, options, judged.declared - unsupported, judged.api_key, judged.guard_key)


def _reached(judged: JudgedTarget, role: ServerRole, access: Access) -> TargetServer | None:
    """The running server at the URL of `access`; None if it is to be started, after its command has been checked."""
    if access.url is None:
        judged.command_of(access)
        return None
    return reach(access.url, api_key=judged.key_for(role, access), model=judged.model_for(role, access))


def _declared(file: TargetFile, options: SuiteOptions) -> frozenset[str]:
    validated = registry().validated
    without = validated(options.without, source="--without")
    if options.capabilities == (ALL,):
        return frozenset(registry().capabilities) - without
    if options.capabilities is not None:
        return validated(options.capabilities, source="--capabilities") - without
    declared = frozenset(registry().capabilities) if file.capabilities is None else file.capabilities
    return declared - without


def _api_key(file: TargetFile, options: SuiteOptions) -> str | None:
    if options.api_key is not None or file.api_key_env is None:
        return options.api_key
    if not (key := os.environ.get(file.api_key_env)):
        raise TargetFileError(
            f"the target {file.name} reads its key from the environment variable {file.api_key_env}, which is not set"
        )
    return key


def _filled(word: str, values: Mapping[str, str]) -> str:
    for placeholder, text in values.items():
        word = word.replace(placeholder, text)
    return word
