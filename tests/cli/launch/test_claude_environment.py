"""What a launched Claude Code is told, and how any shell can tell it."""

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
    too_small,
    written_for,
)
from pensieve.cli.launch.running_servers import RunningServer
from tests.cli.launch.claude_user import User, ends
from tests.support.running_server import scripted_server


def test_claude_gets_the_environment_of_the_server_and_not_the_users_key(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        url = str(client.base_url).rstrip("/")
        user.launches("--url", f"{url}/v1/", http_proxy="http://proxy.invalid:1")
    got = user.told()["environment"]
    names = [f"ANTHROPIC_DEFAULT_{name}_MODEL" for name in ("OPUS", "SONNET", "HAIKU", "FABLE")]
    assert {got[name] for name in (*names, "ANTHROPIC_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL")} == {"scripted"}
    assert (got["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], got["CLAUDE_CODE_MAX_OUTPUT_TOKENS"]) == ("8192", "2048")
    assert (got["CLAUDE_CODE_ATTRIBUTION_HEADER"], got["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"]) == ("0", "1")
    assert (got["ANTHROPIC_BASE_URL"], got["ANTHROPIC_AUTH_TOKEN"]) == (url, "pensieve")
    assert int(got["API_TIMEOUT_MS"]) >= 600_000
    assert got["NO_PROXY"] == "127.0.0.1"
    assert not {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK"} & set(got)
    assert "sk-the-users-own" not in json.dumps(user.told())


def test_the_key_of_the_server_is_what_claude_sends(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path, api_key="s3cret") as client:
        url = str(client.base_url)
        refused = user.launches("--url", url)
        assert refused.returncode == 1
        assert "PENSIEVE_API_KEY" in refused.stderr
        assert user.launches("--url", url, PENSIEVE_API_KEY="s3cret").returncode == 0
    told = user.told()
    assert told["environment"]["ANTHROPIC_AUTH_TOKEN"] == "s3cret"
    assert "s3cret" not in json.dumps(told["arguments"])
    overruling = json.loads(told["arguments"][told["arguments"].index("--settings") + 1])
    helper = subprocess.check_output(overruling["apiKeyHelper"], shell=True, env=told["environment"], text=True)  # noqa: S602 - as the CLI does
    assert helper == "s3cret\n"


def test_a_server_that_is_started_gets_the_key_without_a_flag(user: User) -> None:
    with user.starts("wait", "--api-key", "s3cret") as process:
        told = user.told()
        commands = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children()]
        process.terminate()
        process.communicate(timeout=30)
    assert told["environment"]["ANTHROPIC_AUTH_TOKEN"] == "s3cret"
    assert any("serve" in command for command in commands)
    assert "s3cret" not in " ".join(commands)
    assert ends(told["environment"]["ANTHROPIC_BASE_URL"])


def test_a_small_window_is_told_with_figures_and_the_mend_before_claude_starts(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        default = user.launches("--url", str(client.base_url))
        bare = user.launches("--url", str(client.base_url), "--bare")
    assert "8192" in default.stderr
    assert "11000" in default.stderr
    assert "--bare" in default.stderr
    assert bare.stderr == ""


def test_the_users_settings_stay_as_they_are_and_are_overruled(user: User, tmp_path: Path) -> None:
    files = user.files()
    with scripted_server(tmp_path) as client:
        user.launches("--url", str(client.base_url))
    assert user.files() == files
    arguments = user.told()["arguments"]
    overruling = json.loads(arguments[arguments.index("--settings") + 1])
    assert overruling["apiKeyHelper"] == ""
    assert overruling["env"]["ANTHROPIC_MODEL"] == "scripted"
    assert overruling["env"]["ANTHROPIC_API_KEY"] == ""


def test_an_environment_for_sh_is_what_sh_reads(user: User, tmp_path: Path) -> None:
    key = 'it\'s a "key" with $HOME, `id` and \\'
    with scripted_server(tmp_path, api_key=key) as client:
        printed = user.launches("--url", str(client.base_url), "--print-env", PENSIEVE_API_KEY=key)
    assert printed.returncode == 0, printed.stderr
    assert not user.told_file.exists()
    got = evaluated(["sh", "-c"], printed.stdout, user.environment)
    assert got["ANTHROPIC_AUTH_TOKEN"] == key
    assert got["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "8192"
    assert "ANTHROPIC_API_KEY" not in got


def evaluated(shell: list[str], lines: str, environment: Mapping[str, str]) -> dict[str, str]:
    told = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    command = [*shell, f"{lines}\n{told}"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    got: dict[str, str] = json.loads(ended.stdout)
    return got


@pytest.mark.parametrize(("shell", "program"), [("fish", "fish"), ("powershell", "pwsh")])
def test_an_environment_for_another_shell_is_what_that_shell_reads(shell: str, program: str, user: User) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    value = 'it\'s a "key" with $HOME, `id`, ’ and \\'
    lines = written_for(shell, ClaudeEnvironment({"ANTHROPIC_AUTH_TOKEN": value}, remarks=("a remark",)))
    path = {**user.environment, "PATH": os.environ["PATH"]}
    got = evaluated([program, "-c"], lines, path)
    assert got["ANTHROPIC_AUTH_TOKEN"] == value
    assert "ANTHROPIC_API_KEY" not in got


def test_each_shell_gets_its_own_words_and_quotes() -> None:
    environment = ClaudeEnvironment({"NAME": "it's\\"}, removed=("GONE",))
    assert written_for("sh", environment).splitlines() == ["unset GONE", "export NAME='it'\"'\"'s\\'"]
    assert written_for("fish", environment).splitlines() == ["set -e GONE", "set -gx NAME 'it\\'s\\\\'"]
    assert written_for("powershell", environment).splitlines()[1] == "$env:NAME = 'it''s\\'"


def test_without_a_server_the_environment_is_printed_with_a_remark(user: User) -> None:
    printed = user.launches("--print-env=fish")
    assert printed.returncode == 0
    assert printed.stdout.startswith(f"# no server runs at http://127.0.0.1:{user.port()} yet")
    assert "set -gx ANTHROPIC_MODEL 'claude-pensieve'" in printed.stdout
    assert "set -gx CLAUDE_CODE_MAX_CONTEXT_TOKENS" not in printed.stdout
    assert not user.pensieve_home.exists()


def test_a_printed_environment_carries_the_warning_as_a_remark(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        printed = user.launches("--url", str(client.base_url), "--print-env=powershell")
    assert printed.stdout.startswith("# scripted has a window of 8192 tokens")


def test_an_answer_may_fill_a_quarter_of_the_window_and_never_more_than_32000_tokens() -> None:
    assert [output_tokens(window) for window in (8192, 128_000, 1_000_000)] == [2048, 32_000, 32_000]


@pytest.mark.parametrize(("arguments", "window"), [((), 32_768), (("--tools", "Read"), 16_384), (("--bare",), 8192)])
def test_a_window_that_is_large_enough_is_not_warned_about(arguments: tuple[str, ...], window: int) -> None:
    assert too_small(RunningServer("http://127.0.0.1:1", "m", window), arguments) is None
    assert too_small(RunningServer("http://127.0.0.1:1", "m", 4096), arguments) is not None


def test_a_proxy_is_kept_for_everything_but_this_machine() -> None:
    server = RunningServer("http://127.0.0.1:1", "m", 8192)
    proxied = environment_for(server, None, {"http_proxy": "http://proxy:1", "no_proxy": "intern"}).variables
    assert (proxied["NO_PROXY"], proxied["no_proxy"]) == ("intern,127.0.0.1", "intern,127.0.0.1")
    assert "NO_PROXY" not in environment_for(server, None, {}).variables
