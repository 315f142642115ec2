"""`pensieve service`: installs, starts, stops and shows the background service."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pensieve.cli.settings.values import positive_int

if TYPE_CHECKING:
    from pensieve.cli.service.manager import ServiceManager
    from pensieve.cli.settings.settings import Settings

EXIT_FAILED, EXIT_NOT_RUNNING = 1, 3
_LOG_LINES: Final = 50


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    parser = commands.add_parser(
        "service",
        help="run the server in the background, from login on",
        description="Run the server as a service of your own, under launchd on a Mac and systemd on Linux: it starts "
        "when you log in, and again after a crash.",
        epilog="Its settings come from the settings file, which it reads at each start. The PENSIEVE_ variables of the "
        "moment are written down when it is installed, and override the file; install it again to change them. Exit "
        "status: 0 for success, 3 if `status` finds that it does not run, 1 for failure.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("install", help="install the service, or replace it, and start it")
    actions.add_parser("uninstall", help="stop the service and remove it")
    actions.add_parser("start", help="start the service")
    actions.add_parser("stop", help="stop the service until the next start or login")
    actions.add_parser("status", help="show whether the service runs and answers")
    logs = actions.add_parser("logs", help="show what the service has logged")
    logs.add_argument("-f", "--follow", action="store_true", help="show new lines as they come")
    logs.add_argument(
        "-n", "--lines", type=_lines, default=_LOG_LINES, metavar="N", help=f"how many lines (default: {_LOG_LINES})"
    )


def _lines(text: str) -> int:
    try:
        return positive_int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from pensieve.cli.launch.running_servers import LaunchError  # noqa: PLC0415 - not needed for --help
    from pensieve.cli.service.definition import ServiceError  # noqa: PLC0415
    from pensieve.cli.settings.settings import SettingsError  # noqa: PLC0415

    actions: Mapping[str, Callable[[ServiceManager, argparse.Namespace], int]] = {
        "install": _install,
        "uninstall": _uninstall,
        "start": _start,
        "stop": _stop,
        "status": _status,
        "logs": _logs,
    }
    try:
        return actions[arguments.action](_manager(), arguments)
    except (ServiceError, SettingsError, LaunchError) as error:
        print(f"pensieve: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130


def _manager() -> ServiceManager:
    if sys.platform == "darwin":
        from pensieve.cli.service.launchd import Launchd  # noqa: PLC0415

        return Launchd(Path.home())
    from pensieve.cli.service.systemd import Systemd  # noqa: PLC0415

    return Systemd()


def _install(manager: ServiceManager, _: argparse.Namespace) -> int:
    from pensieve.cli.service.definition import define  # noqa: PLC0415

    definition = define(os.environ, Path.cwd())
    _require_free(manager, definition.settings)
    path = manager.install(definition)
    print(f"Installed as {path}")
    if definition.variables:
        print(f"It has these settings from here: {', '.join(sorted(definition.variables))}")
    if remark := manager.remark():
        print(remark)
    return _wait(manager, definition.settings)


def _uninstall(manager: ServiceManager, _: argparse.Namespace) -> int:
    _require_installed(manager)
    manager.uninstall()
    print("Uninstalled. Models and the prompt cache stay.")
    return 0


def _start(manager: ServiceManager, _: argparse.Namespace) -> int:
    _require_installed(manager)
    settings = _settings(manager)
    _require_free(manager, settings)
    manager.start()
    return _wait(manager, settings)


def _stop(manager: ServiceManager, _: argparse.Namespace) -> int:
    _require_installed(manager)
    manager.stop()
    print("Stopped. It starts again at the next login, unless you uninstall it.")
    return 0


def _status(manager: ServiceManager, _: argparse.Namespace) -> int:
    from pensieve.cli.service.answering import answer_at  # noqa: PLC0415

    _require_installed(manager)
    state = manager.state()
    process = f", process {state.process_id}" if state.process_id else ""
    print(f"{state.details}{process}")
    if not state.is_running:
        return EXIT_NOT_RUNNING
    print(answer_at(_settings(manager)) or "it does not answer yet: `pensieve service logs` shows why")
    return 0


def _logs(manager: ServiceManager, arguments: argparse.Namespace) -> int:
    _require_installed(manager)
    command = manager.log_command(arguments.lines, follow=arguments.follow)
    return subprocess.run(command, check=False).returncode  # noqa: S603 - the system's own tool


def _wait(manager: ServiceManager, settings: Settings) -> int:
    """Show the end of the log if it does not start."""
    from pensieve.cli.service.answering import wait_until_answering  # noqa: PLC0415
    from pensieve.cli.service.definition import ServiceError  # noqa: PLC0415

    try:
        print(f"pensieve: {wait_until_answering(settings, manager.state)}")
    except ServiceError:
        subprocess.run(manager.log_command(_LOG_LINES, follow=False), stdout=sys.stderr, check=False)  # noqa: S603
        raise
    return 0


def _settings(manager: ServiceManager) -> Settings:
    from pensieve.cli.service.definition import settings_of  # noqa: PLC0415

    return settings_of(manager.variables())


def _require_free(manager: ServiceManager, settings: Settings) -> None:
    """Another server at its address would be taken for the service."""
    from pensieve.cli.service.answering import answer_at, url_of  # noqa: PLC0415
    from pensieve.cli.service.definition import ServiceError  # noqa: PLC0415

    if not manager.state().is_running and answer_at(settings) is not None:
        raise ServiceError(f"another server answers at {url_of(settings)}; stop it, or choose another PENSIEVE_PORT")


def _require_installed(manager: ServiceManager) -> None:
    from pensieve.cli.service.definition import ServiceError  # noqa: PLC0415

    if not manager.state().is_installed:
        raise ServiceError("the service is not installed; install it with `pensieve service install`")
