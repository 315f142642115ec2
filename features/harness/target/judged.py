"""The target of a run, as its file and the command line have it together."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from features.harness.outline.capabilities import registry
from features.harness.outline.options import Options
from features.harness.target.target import SCRIPT, Target, description_of_model, reach
from features.harness.target.target_file import ALL, REFERENCE, Access, Role, TargetFile, TargetFileError, find_target

_MISSING: Mapping[Role, str] = {
    Role.SERVER: "there is no server to judge",
    Role.SCRIPTED: "pace, faults and thinking need a server that plays the suite's script: give its URL as"
    " --scripted-target, or [scripted] in the target's file",
    Role.GUARDED: "auth can be judged only with a key: give the one that --target demands as --api-key, or [guarded] in"
    " the target's file",
    Role.RATE_LIMITED: "a limit has to be known to be reached: give the URL of a server that takes three requests a"
    " minute as --rate-limited-target, or [rate_limited] in the target's file",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """`declared` holds every capability, where nobody has said which."""

    file: TargetFile
    options: Options
    declared: frozenset[str]
    api_key: str | None = field(default=None, repr=False)
    guard_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    @property
    def secrets(self) -> frozenset[str]:
        """What no report may hold."""
        return frozenset(filter(None, (self.api_key, self.guard_key)))

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

    def why_missing(self, role: Role) -> str:
        return _MISSING[role]

    def access(self, role: Role) -> Access | None:
        """How to get at the server that plays a role; None if there is none."""
        given = {
            Role.SCRIPTED: self.options.scripted_target,
            Role.RATE_LIMITED: self.options.rate_limited_target,
        }.get(role)
        access = Access(given) if given else self.file.roles.get(role)
        if access is None and role is Role.GUARDED and self.api_key is not None:
            return self.file.roles[Role.SERVER]
        return access

    def key_for(self, role: Role, access: Access) -> str | None:
        """One that is started with a key of ours has that key."""
        is_ours = role is Role.GUARDED and any("{key}" in word for word in access.command)
        return self.guard_key if is_ours else self.api_key

    def model_for(self, role: Role, access: Access) -> str | None:
        """Other servers may serve other models than the one under test."""
        is_under_test = role is Role.SERVER or access == self.file.roles[Role.SERVER]
        return (self.options.model or self.file.model) if is_under_test else None

    def command_of(self, access: Access) -> list[str]:
        """The words of a command, but for the port.

        Raises:
            TargetFileError: it takes a folder, and none was given.
        """
        folder = self.options.model_folder
        if folder is None and any("{folder}" in word for word in access.command):
            raise TargetFileError(f"the target {self.file.name} serves a folder of yours: give it as --model-folder")
        stands_for = {
            "{python}": sys.executable,
            "{script}": str(SCRIPT),
            "{key}": self.guard_key,
            "{folder}": folder or "",
        }
        return [_filled(word, stands_for) for word in access.command]


JUDGED = pytest.StashKey[Judged]()
"""Where the target of the run waits for its scenarios."""

UNDER_TEST = pytest.StashKey[Target]()
"""Where the server under test is told of, once it was reached."""


def judged_target(options: Options) -> Judged:
    """Whom this run judges.

    Raises:
        TargetFileError: there is no such target, its file is wrong, or what it takes was not given.
        UnknownCapabilityError: the command line names one.
        UnreachableError: a server that should be running is not.
    """
    file = find_target(options.target or REFERENCE)
    judged = Judged(file, options, _declared(file, options), _api_key(file, options))
    targets = {role: _reached(judged, role, access) for role in Role if (access := judged.access(role)) is not None}
    under_test = targets[Role.SERVER]
    if under_test is None or file.path is not None or options.capabilities is not None:
        return judged
    unsupported = registry().unsupported_by(description_of_model(under_test))
    return Judged(file, options, judged.declared - unsupported, judged.api_key, judged.guard_key)


def _reached(judged: Judged, role: Role, access: Access) -> Target | None:
    """A server that is said to run; None for one that will be started, once its command is known to be whole."""
    if access.url is None:
        judged.command_of(access)
        return None
    return reach(access.url, api_key=judged.key_for(role, access), model=judged.model_for(role, access))


def _declared(file: TargetFile, options: Options) -> frozenset[str]:
    known = registry().known
    without = known(options.without, source="--without")
    if options.capabilities == (ALL,):
        return frozenset(registry().capabilities) - without
    if options.capabilities is not None:
        return known(options.capabilities, source="--capabilities") - without
    declared = frozenset(registry().capabilities) if file.capabilities is None else file.capabilities
    return declared - without


def _api_key(file: TargetFile, options: Options) -> str | None:
    if options.api_key is not None or file.api_key_env is None:
        return options.api_key
    if not (key := os.environ.get(file.api_key_env)):
        raise TargetFileError(f"the target {file.name} takes its key from {file.api_key_env}, which is not set")
    return key


def _filled(word: str, stands_for: Mapping[str, str]) -> str:
    for placeholder, text in stands_for.items():
        word = word.replace(placeholder, text)
    return word
