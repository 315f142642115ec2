"""Which program is started, and with which arguments."""

import sys
from pathlib import Path

import pytest

from pensieve.cli.launch.claude_program import claude_arguments
from pensieve.cli.launch.command import parse_launch
from tests.cli.launch.claude_user import User, install
from tests.support.running_server import scripted_server


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_claude_does_not_inherit_the_signals_that_python_ignores(user: User, tmp_path: Path) -> None:
    user.program.write_text("#!/bin/sh\nexec grep SigIgn /proc/self/status\n", encoding="utf-8")
    with scripted_server(tmp_path) as client:
        assert int(user.launch("--url", str(client.base_url)).stdout.split()[1], 16) == 0


def test_without_the_cli_the_error_says_how_to_install_it_and_no_server_starts(user: User) -> None:
    user.program.unlink()
    ended = user.launch(PATH="/nowhere")
    assert ended.returncode == 1
    assert "npm install -g @anthropic-ai/claude-code" in ended.stderr
    assert not user.pensieve_home.exists()


@pytest.mark.parametrize("place", [".claude/local/claude", ".local/bin/claude"])
def test_the_cli_is_found_in_the_places_that_installers_use(user: User, tmp_path: Path, place: str) -> None:
    user.program.unlink()
    install(user.home / place)
    with scripted_server(tmp_path) as client:
        assert user.launch("--url", str(client.base_url), PATH="/nowhere").returncode == 0
    assert user.record_file.exists()


def test_the_cli_is_found_in_the_global_prefix_of_npm(user: User, tmp_path: Path) -> None:
    user.program.unlink()
    install(tmp_path / "prefix/bin/claude")
    npm = tmp_path / "npm/npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\n[ "$*" = "prefix -g" ] && echo {tmp_path / "prefix"}\n', encoding="utf-8")
    npm.chmod(0o755)
    with scripted_server(tmp_path) as client:
        assert user.launch("--url", str(client.base_url), PATH=str(npm.parent)).returncode == 0


def test_a_given_program_is_used_and_one_that_is_not_executable_is_an_error(user: User, tmp_path: Path) -> None:
    other = install(tmp_path / "other/claude-beta")
    user.program.unlink()
    with scripted_server(tmp_path) as client:
        url = str(client.base_url)
        assert user.launch("--url", url, PENSIEVE_CLAUDE=str(other)).returncode == 0
        ended = user.launch("--url", url, "--claude", str(tmp_path / "script.toml"))
    assert ended.returncode == 1
    assert "--claude" in ended.stderr


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        (("-p", "Say hello", "--bare"), ("-p", "Say hello", "--bare")),
        (("--print", "x", "--verbose"), ("--print", "x", "--verbose")),
        (("--api-key", "k", "-c", "--", "--model", "sonnet", "--", "-h"), ("-c", "--model", "sonnet", "--", "-h")),
        (("mcp", "list", "--port", "1"), ("mcp", "list")),
        (("--tools=Read,Bash", "-p", "-1", ""), ("--tools=Read,Bash", "-p", "-1", "")),
        ((), ()),
    ],
)
def test_unknown_arguments_are_passed_to_claude_in_their_order(words: tuple[str, ...], passed: tuple[str, ...]) -> None:
    assert parse_launch(words, {}).arguments == passed


def test_edits_are_accepted_unless_the_user_chooses_another_mode() -> None:
    assert claude_arguments(["-p", "x"], "{}") == ["--permission-mode", "acceptEdits", "--settings", "{}", "-p", "x"]
    for given in (["--permission-mode", "plan"], ["--permission-mode=plan"], ["--dangerously-skip-permissions"]):
        assert claude_arguments(given, "{}") == ["--settings", "{}", *given]
    assert claude_arguments(["--settings", "mine.json"], "{}")[-2:] == ["--settings", "mine.json"]


def test_a_wrong_flag_is_a_usage_error(user: User) -> None:
    assert user.launch("--port", "many").returncode == 2
    assert user.launch("--port", "1", "--url", "http://127.0.0.1:1").returncode == 2
    assert user.launch("--url", "somewhere").returncode == 1
    assert "usage: pensieve launch claude" in user.launch("--help").stdout
