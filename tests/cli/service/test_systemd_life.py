"""The service under a real systemd, from its installation to its removal."""

import argparse
import json
import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pensieve.cli.service.definition import Definition
from pensieve.cli.service.systemd import UNIT, unit_text, variables_of
from pensieve.cli.settings.read import read_settings
from tests.cli.service.user_systemd import UserSystemd, user_systemd, why_not
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
ODD_NAME = "a home with \"quotes\", 'more', 100 % $HOME, a \\ and é"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def systemd(tmp_path: Path, port: int) -> Iterator[UserSystemd]:
    home = tmp_path / ODD_NAME
    home.mkdir()
    (home / "script.toml").write_text('[[reply]]\ntext = "Hello from the service"\n', encoding="utf-8")
    variables = {"PENSIEVE_SCRIPT": "./script.toml", "PENSIEVE_PORT": str(port), "PENSIEVE_HOME": f"{home}/kept"}
    paths = {"PYTHONPATH": os.environ.get("PYTHONPATH", str(Path(__file__).parents[3]))}
    with user_systemd(home, **variables, **paths) as found:
        found.run("systemctl", "--user", "set-environment", f"PYTHONPATH={paths['PYTHONPATH']}")
        yield found


def health(port: int) -> dict[str, object] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as reply:
            content: dict[str, object] = json.load(reply)
            return content
    except OSError:
        return None


def main_process(systemd: UserSystemd) -> str:
    shown = systemd.pensieve("service", "status").stdout
    found = re.search(r"process (\d+)", shown)
    return found[1] if found else ""


def test_a_service_is_installed_answers_survives_its_death_and_is_removed(systemd: UserSystemd, port: int) -> None:
    assert "not installed" in systemd.pensieve("service", "start").stderr
    installed = systemd.pensieve("service", "install")
    assert f"serving scripted at http://127.0.0.1:{port}" in installed.stdout, installed
    assert "PENSIEVE_SCRIPT" in installed.stdout
    assert health(port) is not None

    first = main_process(systemd)
    systemd.run("kill", "-KILL", first)
    wait_until(lambda: main_process(systemd) not in ("", first) and health(port) is not None)

    logged = systemd.pensieve("service", "logs", "--lines", "500").stdout
    assert logged.count("serving scripted") == 2, logged

    assert systemd.pensieve("service", "stop").returncode == 0
    assert health(port) is None
    assert systemd.pensieve("service", "status").returncode == 3
    assert systemd.pensieve("service", "start").returncode == 0
    assert systemd.pensieve("service", "status").returncode == 0

    assert systemd.pensieve("service", "uninstall").returncode == 0
    assert health(port) is None
    assert "not installed" in systemd.pensieve("service", "status").stderr


def test_a_service_that_cannot_start_shows_its_log(systemd: UserSystemd) -> None:
    """The settings are valid, and the file that one of them names is missing."""
    ended = systemd.pensieve("service", "install", PENSIEVE_SCRIPT="./missing.toml")
    assert ended.returncode == 1
    assert "missing.toml" in ended.stderr
    assert "the service has ended" in ended.stderr
    systemd.run("systemctl", "--user", "stop", UNIT)


@pytest.mark.parametrize("name", ["a program, 100 % $HOME of é", ODD_NAME])
def test_systemd_reads_a_command_and_an_environment_as_they_were_meant(
    systemd: UserSystemd, tmp_path: Path, name: str
) -> None:
    program, seen = tmp_path / name / "run", tmp_path / "seen"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" "$ODD" >{seen}.new\nmv {seen}.new {seen}\n', encoding="utf-8")
    program.chmod(0o700)
    value = f"{ODD_NAME}\nsecond line\t; # ${{HOME}} %h"
    settings = read_settings(argparse.Namespace(), {})
    text = unit_text(Definition((str(program), ODD_NAME, "${HOME} $PATH", ""), {"ODD": value}, settings))
    unit = tmp_path / ODD_NAME / ".config/systemd/user" / UNIT
    unit.parent.mkdir(parents=True)
    unit.write_text(text, encoding="utf-8")
    assert systemd.run("systemctl", "--user", "daemon-reload").returncode == 0
    started = systemd.run("systemctl", "--user", "start", UNIT)
    assert started.returncode == 0, started
    wait_until(seen.exists)
    assert seen.read_text(encoding="utf-8").split("\0")[:-1] == [ODD_NAME, "${HOME} $PATH", "", value]
    assert variables_of(text) == {"ODD": value}
    verified = systemd.run("systemd-analyze", "--user", "verify", str(unit))
    assert verified.stderr == ""
