"""The files that describe the service to systemd and launchd. test_systemd_life.py has a real systemd read them."""

import argparse
import plistlib
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pensieve.cli.service.definition import SERVE, Definition, ServiceError
from pensieve.cli.service.launchd import LABEL, Launchd, log_file
from pensieve.cli.service.systemd import unit_text, variables_of
from pensieve.cli.settings.read import read_settings

LAUNCHCTL = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/calls"
loaded="$(dirname "$0")/loaded"
case $1 in
    print) [ -e "$loaded" ] || exit 113; printf '{\\n\\tstate = running\\n\\tpid = 4321\\n}\\n' ;;
    bootstrap) touch "$loaded" ;;
    bootout) rm "$loaded" ;;
esac
"""
"""What `launchctl` of macOS answers, as far as the service uses it."""


def defined(**variables: str) -> Definition:
    return Definition(SERVE, variables, read_settings(argparse.Namespace(), {}))


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]) | st.sampled_from("\n\t")))
def test_a_variable_is_read_back_as_it_was_written(value: str) -> None:
    try:
        text = unit_text(defined(VALUE=value))
    except ServiceError:
        assert not value.isprintable()
    else:
        assert variables_of(text) == {"VALUE": value}
        assert len(text.splitlines()) == len(unit_text(defined(VALUE="")).splitlines())


def test_characters_that_a_unit_cannot_have_are_refused() -> None:
    for value in ("a\0b", "a\x1bb", "\udc80"):
        with pytest.raises(ServiceError):
            unit_text(defined(VALUE=value))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "pensieve.service"
    unit.write_text(unit_text(defined(VALUE='100 % of "it"')), encoding="utf-8")
    verify = (shutil.which("systemd-analyze") or "", "--user", "verify", str(unit))
    ended = subprocess.run(verify, env={"XDG_RUNTIME_DIR": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.fixture
def launchd(tmp_path: Path) -> Launchd:
    program = tmp_path / "bin/launchctl"
    program.parent.mkdir()
    program.write_text(LAUNCHCTL, encoding="utf-8")
    program.chmod(0o700)
    return Launchd(tmp_path / 'a "home" & <more>', str(program))


def calls(folder: Path) -> list[str]:
    lines = (folder / "bin/calls").read_text(encoding="utf-8").splitlines()
    return [line.partition(" ")[0] for line in lines if not line.startswith("print")]


def test_an_agent_is_installed_stopped_started_and_removed(launchd: Launchd, tmp_path: Path) -> None:
    value = 'a "value" with <marks> & $HOME % \\ é'
    path = launchd.install(defined(PENSIEVE_MODEL=value))
    content = plistlib.loads(path.read_bytes())
    assert path.name == f"{LABEL}.plist"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert content["EnvironmentVariables"] == launchd.variables() == {"PENSIEVE_MODEL": value}
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    assert content["ProgramArguments"][-2:] == [
        "pensieve.cli.service.logged",
        str(log_file(tmp_path / 'a "home" & <more>')),
    ]
    assert launchd.state().is_running
    assert launchd.state().process_id == 4321
    launchd.stop()
    assert not launchd.state().is_running
    assert launchd.state().is_installed
    launchd.start()
    launchd.install(defined())
    launchd.uninstall()
    assert not launchd.state().is_installed
    assert calls(tmp_path) == ["bootstrap", "bootout", "bootstrap", "bootout", "bootstrap", "bootout"]


def test_characters_that_a_property_list_cannot_have_are_refused(launchd: Launchd) -> None:
    with pytest.raises(ServiceError):
        launchd.install(defined(VALUE="a\x1bb"))
    assert not launchd.state().is_installed
