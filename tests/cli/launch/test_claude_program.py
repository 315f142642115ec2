"""Which CLI is started, and with which arguments."""

import sys
from pathlib import Path

import pytest

from pensieve.cli.launch.claude_program import arguments_for
from pensieve.cli.launch.command import read_launch
from tests.cli.launch.claude_user import User, install
from tests.support.running_server import scripted_server


@pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")
def test_claude_ignores_no_signal_that_python_ignores(user: User, tmp_path: Path) -> None:
    user.program.write_text("#!/bin/sh\nexec grep SigIgn /proc/self/status\n", encoding="utf-8")
    with scripted_server(tmp_path) as client:
        assert int(user.launches("--url", str(client.base_url)).stdout.split()[1], 16) == 0


def test_without_the_cli_it_says_how_to_get_it_and_loads_nothing(user: User) -> None:
    user.program.unlink()
    ended = user.launches(PATH="/nowhere")
    assert ended.returncode == 1
    assert "npm install -g @anthropic-ai/claude-code" in ended.stderr
    assert not user.pensieve_home.exists()


@pytest.mark.parametrize("place", [".claude/local/claude", ".local/bin/claude"])
def test_the_cli_is_found_where_installers_put_it(user: User, tmp_path: Path, place: str) -> None:
    user.program.unlink()
    install(user.home / place)
    with scripted_server(tmp_path) as client:
        assert user.launches("--url", str(client.base_url), PATH="/nowhere").returncode == 0
    assert user.told_file.exists()


def test_the_cli_is_found_where_npm_installs_for_everybody(user: User, tmp_path: Path) -> None:
    user.program.unlink()
    install(tmp_path / "prefix/bin/claude")
    npm = tmp_path / "npm/npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\n[ "$*" = "prefix -g" ] && echo {tmp_path / "prefix"}\n', encoding="utf-8")
    npm.chmod(0o755)
    with scripted_server(tmp_path) as client:
        assert user.launches("--url", str(client.base_url), PATH=str(npm.parent)).returncode == 0


def test_a_named_cli_is_taken_and_one_that_cannot_run_is_an_error(user: User, tmp_path: Path) -> None:
    other = install(tmp_path / "other/claude-beta")
    user.program.unlink()
    with scripted_server(tmp_path) as client:
        url = str(client.base_url)
        assert user.launches("--url", url, PENSIEVE_CLAUDE=str(other)).returncode == 0
        ended = user.launches("--url", url, "--claude", str(tmp_path / "script.toml"))
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
def test_what_is_not_ours_goes_to_claude_in_its_order(words: tuple[str, ...], passed: tuple[str, ...]) -> None:
    assert read_launch(words, {}).arguments == passed


def test_edits_are_accepted_unless_the_user_says_otherwise() -> None:
    assert arguments_for(["-p", "x"], "{}") == ["--permission-mode", "acceptEdits", "--settings", "{}", "-p", "x"]
    for told in (["--permission-mode", "plan"], ["--permission-mode=plan"], ["--dangerously-skip-permissions"]):
        assert arguments_for(told, "{}") == ["--settings", "{}", *told]
    assert arguments_for(["--settings", "mine.json"], "{}")[-2:] == ["--settings", "mine.json"]


def test_a_wrong_flag_is_a_usage_error(user: User) -> None:
    assert user.launches("--port", "many").returncode == 2
    assert user.launches("--port", "1", "--url", "http://127.0.0.1:1").returncode == 2
    assert user.launches("--url", "somewhere").returncode == 1
    assert "usage: pensieve launch claude" in user.launches("--help").stdout
