"""What launchd and systemd do for the service alike."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pensieve.cli.service.definition import Definition, ServiceError
from pensieve.models.files.atomic_file import atomic_file

_TIMEOUT_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class ServiceState:
    """`is_running` is false while the manager waits to start it again after a failure. `details` are the manager's own
    words.
    """

    is_installed: bool
    is_running: bool
    process_id: int | None = None
    details: str = ""


class ServiceManager(Protocol):
    """Every method raises ServiceError if the manager refuses."""

    def install(self, definition: Definition) -> Path:
        """Write the service's file, have it started at each login and now, and return the file's path."""

    def uninstall(self) -> None: ...

    def start(self) -> None:
        """No effect while it runs."""

    def stop(self) -> None:
        """Until the next start or login."""

    def state(self) -> ServiceState: ...

    def variables(self) -> Mapping[str, str]:
        """The environment that the service was installed with."""

    def log_command(self, num_lines: int, *, follow: bool) -> Sequence[str]:
        """The command that prints the service's log."""

    def remark(self) -> str:
        """What a user should know about when the service runs, or ''."""


def run_tool(command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """
    Raises:
        ServiceError: the tool is not on this machine, or hangs.
    """
    try:
        return subprocess.run(  # noqa: S603 - the system's own tool
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise ServiceError(f"{command[0]} is not on this machine; start the server with `pensieve serve`") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"`{' '.join(command)}` did not end within {_TIMEOUT_SECONDS:.0f} s") from error


def unreadable(path: Path) -> ServiceError:
    return ServiceError(f"{path} cannot be read; write it again with `pensieve service install`")


def write_private(path: Path, content: bytes) -> None:
    """Write the file so that only its owner can read it: settings may hold keys.

    Raises:
        ServiceError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:  # it is made readable by its owner alone
            file.write(content)
    except OSError as error:
        raise ServiceError(f"{path} cannot be written: {error.strerror or error}") from error
