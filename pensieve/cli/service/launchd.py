"""The service as an agent of launchd. Not run on a Mac yet."""

from __future__ import annotations

import os
import plistlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pensieve.cli.service.definition import Definition, ServiceError
from pensieve.cli.service.manager import ServiceState, run_tool, unreadable, write_private

LABEL: Final = "local.pensieve.server"
_LAUNCHCTL: Final = "/bin/launchctl"
_PAUSE_SECONDS: Final = 30
"""Between two starts: launchd never gives up, also where the settings are wrong."""
_STOP_SECONDS: Final = 60
_PROCESS: Final = re.compile(r"^\s*pid = (\d+)$", re.MULTILINE)
_STATE: Final = re.compile(r"^\s*(?:state|last exit code) = .+$", re.MULTILINE)


def log_file(home: Path) -> Path:
    return home / "Library/Logs/Pensieve/service.log"


def property_list(definition: Definition, home: Path) -> dict[str, Any]:
    """Launchd does not limit the size of a log, so the service writes its own."""
    logged = (sys.executable, "-P", "-m", "pensieve.cli.service.logged", str(log_file(home)))
    return {
        "Label": LABEL,
        "ProgramArguments": list(logged),
        "EnvironmentVariables": dict(definition.variables),
        "WorkingDirectory": str(home),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": _PAUSE_SECONDS,
        "ExitTimeOut": _STOP_SECONDS,
        "ProcessType": "Interactive",  # or macOS would slow it down as a background task
        "Umask": 0o077,
    }


class Launchd:
    """Implements `ServiceManager`."""

    def __init__(self, home: Path, launchctl: str = _LAUNCHCTL) -> None:
        self._home = home
        self._launchctl_path = launchctl
        self._domain = f"gui/{os.getuid()}"
        self.path = home / "Library/LaunchAgents" / f"{LABEL}.plist"

    def install(self, definition: Definition) -> Path:
        try:
            content = plistlib.dumps(property_list(definition, self._home))
        except (ValueError, TypeError) as error:
            raise ServiceError(f"a setting has characters that a property list cannot have: {error}") from error
        if self._is_loaded():
            self.stop()
        write_private(self.path, content)
        log_file(self._home).parent.mkdir(parents=True, exist_ok=True)
        self.start()
        return self.path

    def uninstall(self) -> None:
        self.stop()
        self.path.unlink(missing_ok=True)

    def start(self) -> None:
        if self._is_loaded():
            self._launchctl("kickstart", f"{self._domain}/{LABEL}")
        else:
            self._launchctl("bootstrap", self._domain, str(self.path))

    def stop(self) -> None:
        """Unload it: launchd would start one that is only killed again."""
        if self._is_loaded():
            self._launchctl("bootout", f"{self._domain}/{LABEL}")

    def state(self) -> ServiceState:
        shown = self._print()
        process = _PROCESS.search(shown)
        details = ", ".join(found.strip() for found in _STATE.findall(shown)) or "not loaded"
        return ServiceState(self.path.exists(), process is not None, int(process[1]) if process else None, details)

    def variables(self) -> Mapping[str, str]:
        try:
            content = plistlib.loads(self.path.read_bytes())
            return {str(name): str(value) for name, value in content["EnvironmentVariables"].items()}
        except Exception as error:  # plistlib raises every type of error for damaged files
            raise unreadable(self.path) from error

    def log_command(self, num_lines: int, *, follow: bool) -> tuple[str, ...]:
        command = ("tail", "-n", str(num_lines), *(["-F"] if follow else []))
        return (*command, str(log_file(self._home)))

    def remark(self) -> str:
        return "It runs while you are logged in, and starts at each login."

    def _is_loaded(self) -> bool:
        return bool(self._print())

    def _print(self) -> str:
        ended = run_tool((self._launchctl_path, "print", f"{self._domain}/{LABEL}"))
        return ended.stdout if ended.returncode == 0 else ""

    def _launchctl(self, *arguments: str) -> None:
        ended = run_tool((self._launchctl_path, *arguments))
        if ended.returncode:
            reason = ended.stderr.strip() or f"exit status {ended.returncode}"
            raise ServiceError(f"`launchctl {' '.join(arguments)}` failed: {reason}")
