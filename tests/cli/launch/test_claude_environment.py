"""The environment of a launched Claude Code, and its form for each shell."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from pensieve.cli.launch.claude_environment import (
    ClaudeEnvironment,
    environment_for,
    output_tokens,
    shell_lines,
)
from pensieve.cli.launch.running_servers import RunningServer
from tests.cli.launch.claude_user import User, stops
from tests.support.running_server import scripted_server


def test_claude_gets_the_environment_of_the_server_without_the_users_key(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        url = str(client.base_url).rstrip("/")
        user.launch("--url", f"{url}/v1/", http_proxy="http://proxy.invalid:1")
    got = user.record()["environment"]
    names = [f"ANTHROPIC_DEFAULT_{name}_MODEL" for name in ("OPUS", "SONNET", "HAIKU", "FABLE")]
    assert {got[name] for name in (*names, "ANTHROPIC_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL")} == {"scripted"}
    assert (got["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], got["CLAUDE_CODE_MAX_OUTPUT_TOKENS"]) == ("8192", "2048")
    assert (got["CLAUDE_CODE_ATTRIBUTION_HEADER"], got["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"]) == ("0", "1")
    assert (got["ANTHROPIC_BASE_URL"], got["ANTHROPIC_AUTH_TOKEN"]) == (url, "pensieve")
    assert int(got["API_TIMEOUT_MS"]) >= 600_000
    assert got["NO_PROXY"] == "127.0.0.1"
    assert not {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK"} & set(got)
    assert "sk-the-users-own" not in json.dumps(user.record())


def test_claude_sends_the_key_of_the_server(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path, api_key="s3cret") as client:
        url = str(client.base_url)
        refused = user.launch("--url", url)
        assert refused.returncode == 1
        assert "PENSIEVE_API_KEY" in refused.stderr
        assert user.launch("--url", url, PENSIEVE_API_KEY="s3cret").returncode == 0
    record = user.record()
    assert record["environment"]["ANTHROPIC_AUTH_TOKEN"] == "s3cret"
    assert "s3cret" not in json.dumps(record["arguments"])
    settings = json.loads(record["arguments"][record["arguments"].index("--settings") + 1])
    helper = subprocess.check_output(settings["apiKeyHelper"], shell=True, env=record["environment"], text=True)  # noqa: S602 - as the CLI does
    assert helper == "s3cret\n"


def test_a_new_server_gets_the_key_without_a_flag(user: User) -> None:
    with user.start_launch("wait", "--api-key", "s3cret") as process:
        record = user.record()
        commands = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children()]
        process.terminate()
        process.communicate(timeout=300)
    assert record["environment"]["ANTHROPIC_AUTH_TOKEN"] == "s3cret"
    assert any("serve" in command for command in commands)
    assert "s3cret" not in " ".join(commands)
    assert stops(record["environment"]["ANTHROPIC_BASE_URL"])


def test_the_users_settings_are_overridden_but_not_changed(user: User, tmp_path: Path) -> None:
    files = user.files()
    with scripted_server(tmp_path) as client:
        user.launch("--url", str(client.base_url))
    assert user.files() == files
    arguments = user.record()["arguments"]
    settings = json.loads(arguments[arguments.index("--settings") + 1])
    assert settings["apiKeyHelper"] == ""
    assert settings["env"]["ANTHROPIC_MODEL"] == "scripted"
    assert settings["env"]["ANTHROPIC_API_KEY"] == ""


def test_sh_evaluates_the_printed_environment(user: User, tmp_path: Path) -> None:
    key = 'it\'s a "key" with $HOME, `id` and \\'
    with scripted_server(tmp_path, api_key=key) as client:
        printed = user.launch("--url", str(client.base_url), "--print-env", PENSIEVE_API_KEY=key)
    assert printed.returncode == 0, printed.stderr
    assert not user.record_file.exists()
    got = evaluated(["sh", "-c"], printed.stdout, user.environment)
    assert got["ANTHROPIC_AUTH_TOKEN"] == key
    assert got["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "8192"
    assert "ANTHROPIC_API_KEY" not in got


def evaluated(shell: list[str], lines: str, environment: Mapping[str, str]) -> dict[str, str]:
    print_environment = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    command = [*shell, f"{lines}\n{print_environment}"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    got: dict[str, str] = json.loads(ended.stdout)
    return got


@pytest.mark.parametrize(("shell", "program"), [("fish", "fish"), ("powershell", "pwsh")])
def test_fish_and_powershell_evaluate_the_printed_environment(shell: str, program: str, user: User) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    value = 'it\'s a "key" with $HOME, `id`, ’ and \\'
    lines = shell_lines(shell, ClaudeEnvironment({"ANTHROPIC_AUTH_TOKEN": value}, remarks=("a remark",)))
    path = {**user.environment, "PATH": os.environ["PATH"]}
    got = evaluated([program, "-c"], lines, path)
    subprocess.run([program, "-c", lines], env=path, check=True)
    assert got["ANTHROPIC_AUTH_TOKEN"] == value
    assert "ANTHROPIC_API_KEY" not in got


def test_each_shell_has_its_own_syntax_and_quoting() -> None:
    environment = ClaudeEnvironment({"NAME": "it's\\"}, removed=("GONE",))
    assert shell_lines("sh", environment).splitlines() == ["unset GONE", "export NAME='it'\"'\"'s\\'"]
    assert shell_lines("fish", environment).splitlines() == ["set -e GONE; or true", "set -gx NAME 'it\\'s\\\\'"]
    assert shell_lines("powershell", environment).splitlines()[1] == "$env:NAME = 'it''s\\'"


def test_without_a_server_the_environment_is_printed_with_a_comment(user: User) -> None:
    printed = user.launch("--print-env=fish")
    assert printed.returncode == 0
    assert printed.stdout.startswith(f"# no server runs at http://127.0.0.1:{user.port()} yet")
    assert "set -gx ANTHROPIC_MODEL 'claude-pensieve'" in printed.stdout
    assert "set -gx CLAUDE_CODE_MAX_CONTEXT_TOKENS" not in printed.stdout
    assert not user.pensieve_home.exists()


def test_an_answer_may_fill_a_quarter_of_the_window_up_to_32000_tokens() -> None:
    assert [output_tokens(window) for window in (8192, 128_000, 1_000_000)] == [2048, 32_000, 32_000]


def test_a_proxy_is_bypassed_for_this_machine_alone() -> None:
    server = RunningServer("http://127.0.0.1:1", "m", 8192)
    proxied = environment_for(server, None, {"http_proxy": "http://proxy:1", "no_proxy": "intern"}).variables
    assert (proxied["NO_PROXY"], proxied["no_proxy"]) == ("intern,127.0.0.1", "intern,127.0.0.1")
    assert "NO_PROXY" not in environment_for(server, None, {}).variables
