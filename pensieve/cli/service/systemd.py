"""The service as a unit of the user's own systemd."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pensieve.cli.service.definition import Definition, ServiceError
from pensieve.cli.service.manager import ServiceState, run_tool, unreadable, write_private

UNIT: Final = "pensieve.service"
_UNIT_TEXT: Final = """\
# Written by `pensieve service install`, which replaces it.
[Unit]
Description=Pensieve, a server of local language models
StartLimitIntervalSec=600
StartLimitBurst=5

[Service]
Type=exec
ExecStart={command}
WorkingDirectory=~
{environment}
# The server itself starts again after a crash of the model. This is for its parent process.
Restart=on-failure
RestartSec=5
# 2: wrong settings, which another start would not change
RestartPreventExitStatus=2
# The parent process passes signals on.
KillMode=mixed
# A server that ran out of memory is started again by its parent process.
OOMPolicy=continue
UMask=0077

# What a user's systemd can take away without namespaces, and the server does not need
LockPersonality=yes
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""
_SPECIAL: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "%": "%%"}
_RUNNING: Final = ("active", "activating", "reloading")
_ASSIGNED: Final = re.compile(r'^Environment="(\w+)=(.*)"$', re.MULTILINE)
_ESCAPE: Final = re.compile(r'\\\\|\\"|\\n|\\t|%%')
_NO_MANAGER: Final = (
    "no systemd of this user answers ({reason}). It starts when the user logs in, so that `su`, `sudo` and containers "
    "have none: log in directly, or start the server with `pensieve serve`"
)


def unit_text(definition: Definition) -> str:
    """
    Raises:
        ServiceError: a variable or path has characters that a unit cannot have.
    """
    program, *arguments = _startable(definition.command)
    command = " ".join([_quoted(program), *(_quoted(argument).replace("$", "$$") for argument in arguments)])
    variables = [f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(definition.variables.items())]
    return _UNIT_TEXT.format(command=command, environment="\n".join(variables))


def _startable(command: tuple[str, ...]) -> tuple[str, ...]:
    """Systemd starts no program with quotes or backslashes in its path, however they are escaped."""
    if not set(command[0]) & set("\"'\\"):
        return command
    return ("/bin/sh", "-c", 'exec "$0" "$@"', *command)


def _quoted(text: str) -> str:
    """One word of a unit. `$` stands for a variable in arguments alone."""
    if not text.isprintable() and any(not char.isprintable() and char not in _SPECIAL for char in text):
        raise ServiceError(f"{text!r} has characters that a systemd unit cannot have")
    return '"' + "".join(_SPECIAL.get(char, char) for char in text) + '"'


def variables_of(text: str) -> dict[str, str]:
    """The environment in the text of a unit."""
    unescaped = {escaped: char for char, escaped in _SPECIAL.items()}
    return {name: _ESCAPE.sub(lambda found: unescaped[found[0]], value) for name, value in _ASSIGNED.findall(text)}


class Systemd:
    """Implements `ServiceManager`."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = _with_runtime_folder(environment)
        config = environment.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
        self.path = Path(config) / "systemd/user" / UNIT

    def install(self, definition: Definition) -> Path:
        text = unit_text(definition)
        self._systemctl("show-environment")  # before anything is written
        write_private(self.path, text.encode())
        self._systemctl("daemon-reload")
        self._systemctl("enable", UNIT)
        self._forget_failures()
        self._systemctl("restart", UNIT)
        return self.path

    def uninstall(self) -> None:
        self._systemctl("disable", "--now", UNIT)
        self.path.unlink(missing_ok=True)
        self._systemctl("daemon-reload")

    def start(self) -> None:
        self._forget_failures()
        self._systemctl("start", UNIT)

    def stop(self) -> None:
        self._systemctl("stop", UNIT)

    def state(self) -> ServiceState:
        names = ("LoadState", "ActiveState", "SubState", "MainPID", "Result", "NRestarts")
        shown = self._systemctl("show", UNIT, "--property", ",".join(names))
        found = dict(line.partition("=")[::2] for line in shown.splitlines())
        is_running = found.get("ActiveState") in _RUNNING and found.get("SubState") != "auto-restart"
        details = f"{found.get('ActiveState')} ({found.get('SubState')})"
        if found.get("Result", "success") != "success":
            details += f", last ended with: {found['Result']}"
        if found.get("NRestarts", "0") != "0":
            details += f", started again {found['NRestarts']} times"
        process_id = int(found.get("MainPID") or 0) or None
        return ServiceState(self.path.exists(), is_running, process_id, details)

    def variables(self) -> Mapping[str, str]:
        try:
            return variables_of(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise unreadable(self.path) from error

    def log_command(self, num_lines: int, *, follow: bool) -> tuple[str, ...]:
        # not --user, which finds nothing where journald keeps one journal for all users
        command = ("journalctl", "--user-unit", UNIT, "--lines", str(num_lines), "--output", "cat", "--no-pager")
        return (*command, "--follow") if follow else command

    def remark(self) -> str:
        """Without lingering, a user's services end with the last session."""
        lingers = run_tool(("loginctl", "show-user", str(os.getuid()), "--property", "Linger")).stdout
        if lingers.strip() == "Linger=yes":
            return ""
        return "It runs while you are logged in. To keep it running from boot on: loginctl enable-linger"

    def _forget_failures(self) -> None:
        """Or systemd would refuse to start a service that has failed too often. A unit that is not loaded has none."""
        run_tool(("systemctl", "--user", "reset-failed", UNIT), self._environment)

    def _systemctl(self, *arguments: str) -> str:
        ended = run_tool(("systemctl", "--user", *arguments), self._environment)
        if ended.returncode:
            reason = ended.stderr.strip() or f"exit status {ended.returncode}"
            if "connect to bus" in reason or "not been booted" in reason or "connect to user" in reason:
                raise ServiceError(_NO_MANAGER.format(reason=reason.splitlines()[0]))
            raise ServiceError(f"`systemctl --user {' '.join(arguments)}` failed: {reason}")
        return ended.stdout


def _with_runtime_folder(environment: Mapping[str, str]) -> dict[str, str]:
    """`systemctl` finds the user's systemd there. Some sessions, such as those of `su`, lack the variable."""
    folder = Path(f"/run/user/{os.getuid()}")
    default = {"XDG_RUNTIME_DIR": str(folder)} if folder.is_dir() else {}
    return {**default, **environment}
