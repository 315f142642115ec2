"""Checks of what a server would meet: its settings, and its port."""

from __future__ import annotations

import contextlib

import psutil

from pensieve.api.http.access import is_loopback
from pensieve.cli.doctor.check import CheckResult, Subject, ok, problem
from pensieve.cli.launch.running_servers import ForeignServerError, LaunchError, find_server, is_port_free
from pensieve.cli.settings.names import PREFIX, unknown_variables
from pensieve.cli.settings.settings import SettingsError
from pensieve.cli.settings.settings_file import settings_path
from pensieve.cli.settings.table import TABLE
from pensieve.core.errors import PensieveError
from pensieve.models.files.names_file import names_file, read_names


def settings(subject: Subject) -> CheckResult:
    values = [value for name, value in subject.environment.items() if name.startswith(PREFIX)]
    if isinstance(subject.settings, SettingsError):
        fix = "correct it; `pensieve config check` names every problem"
        return problem(str(subject.settings), fix, settings_path(subject.environment), *values)
    if unknown := list(unknown_variables(subject.environment)):
        return problem("; ".join(unknown), "correct the name, or unset the variable")
    try:
        read_names()
    except PensieveError as error:
        return problem(str(error), "correct it, or remove it, and import and pull models again", names_file())
    given = [setting.variable for setting in TABLE if subject.environment.get(setting.variable)]
    origins = [*(["the settings file"] if settings_path(subject.environment).exists() else []), *given]
    return ok(f"from {', '.join(origins)}" if origins else "defaults")


def port(subject: Subject) -> CheckResult:
    chosen = subject.served
    if not chosen.port:
        return ok("any free port")
    host = "127.0.0.1" if chosen.host in ("0.0.0.0", "::") else chosen.host  # noqa: S104 - to connect, not to listen
    url = f"http://[{host}]:{chosen.port}" if ":" in host else f"http://{host}:{chosen.port}"
    other_port = f"choose another with PENSIEVE_PORT={chosen.port + 1 if chosen.port < 65535 else 8766}"
    try:
        running = find_server(url, chosen.api_key)
        if running is not None:
            return ok(f"a Pensieve server answers at {url} with {running.model}", host, running.model)
        if not is_loopback(host) or is_port_free(host, chosen.port):
            return ok(f"{chosen.port} is free")
    except ForeignServerError:
        owner = _owner(chosen.port)
        return problem(f"{chosen.port} is used by another program{owner}", f"stop it, or {other_port}", owner, host)
    except LaunchError as error:
        return ok(f"a Pensieve server has it: {error}", host)
    owner = _owner(chosen.port)
    return problem(
        f"{chosen.port} is held by a program that does not answer{owner}",
        f"wait if it is a server that loads its model; else stop it, or {other_port}",
        owner,
    )


def _owner(number: int) -> str:
    """`, NAME (process PID)` of the program that listens there. Those of other users are invisible."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.laddr[1:2] == (number,) and not connection.raddr:
                    return f", {process.name()} (process {process.pid})"
    return ""
