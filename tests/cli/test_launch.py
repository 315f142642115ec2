"""`pensieve launch claude` as a process, on real servers; the CLI's part is played by a program that tells what it got.

What the real CLI makes of it is tested where the real CLI runs.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from pensieve.cli.claude_environment import ClaudeEnvironment, environment_for, output_tokens, too_small, written_for
from pensieve.cli.claude_program import arguments_for
from pensieve.cli.launch import read_launch
from pensieve.cli.running_servers import LaunchError, RunningServer, checked_url, find_server
from tests.running_server import scripted_server

CLAUDE = """#!{python}
import json, os, pathlib, sys, time
told = {{"environment": dict(os.environ), "arguments": sys.argv[1:], "pid": os.getpid()}}
pathlib.Path(os.environ["TOLD"]).write_text(json.dumps(told))
if "wait" in sys.argv:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(41)
sys.exit(7 if "fail" in sys.argv else 0)
"""


@pytest.fixture
def user(tmp_path: Path) -> "User":
    return User(tmp_path)


class User:
    """Somebody with a home of their own, Claude Code on PATH, and a script for a model."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.told_file = folder / "told.json"
        self.program = folder / "bin/claude"
        self.pensieve_home = folder / "kept"
        for made in (self.home / ".claude", self.program.parent, folder / "project"):
            made.mkdir(parents=True)
        (self.home / ".claude/settings.json").write_text('{"model": "opus"}', encoding="utf-8")
        script = folder / "script.toml"
        script.write_text("[[reply]]", encoding="utf-8")
        install(self.program)
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{self.program.parent}:/usr/bin:/bin",
            "PENSIEVE_HOME": str(self.pensieve_home),
            "PENSIEVE_SCRIPT": str(script),
            "PENSIEVE_PORT": str(free_port()),
            "TOLD": str(self.told_file),
            "ANTHROPIC_API_KEY": "sk-the-users-own",
            "CLAUDE_CODE_USE_BEDROCK": "1",
        }

    def starts(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "pensieve", "launch", "claude", *words],
            env={**self.environment, **environment},
            cwd=self.folder / "project",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def launches(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with self.starts(*words, **environment) as process:
            try:
                stdout, stderr = process.communicate(timeout=60)
            finally:
                process.kill()
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def told(self) -> dict[str, Any]:
        """What the program was started with, once it has been."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.told_file.exists() and self.told_file.read_text():
                told: dict[str, Any] = json.loads(self.told_file.read_text())
                return told
            time.sleep(0.05)
        raise AssertionError("claude was not started")

    def port(self) -> int:
        return int(self.environment["PENSIEVE_PORT"])

    def files(self) -> dict[str, bytes]:
        found = [path for path in self.home.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.home)): path.read_bytes() for path in found}


def install(program: Path) -> Path:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(CLAUDE.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    return program


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def ends(url: str) -> bool:
    """Whether nobody listens there within a few seconds."""
    host, _, port = url.removeprefix("http://").partition(":")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))):
                return True
        time.sleep(0.1)
    return False


@contextmanager
def foreign_server(answer: bytes = b'{"object": "list"}', port: int = 0) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_is_started_where_none_runs_and_ends_with_claude(user: User) -> None:
    files = user.files()
    ended = user.launches("-p", "Say hello")
    told = user.told()
    url = f"http://127.0.0.1:{user.port()}"
    assert ended.returncode == 0, ended.stderr
    assert f"serving scripted at {url}" in ended.stderr
    assert ended.stdout == ""
    assert told["environment"]["ANTHROPIC_BASE_URL"] == url
    assert ends(url)
    assert user.files() == files
    assert [log.name.partition("-")[0] for log in (user.pensieve_home / "logs").iterdir()] == ["launch"]


def test_a_server_that_runs_is_used_and_left_alone(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        url = str(client.base_url).rstrip("/")
        assert user.launches("--url", url).returncode == 0
        assert user.told()["environment"]["ANTHROPIC_BASE_URL"] == url
        assert client.get("/health").json()["status"] == "healthy"
        assert not user.pensieve_home.exists()


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


def test_the_exit_status_is_the_one_of_claude(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        assert user.launches("--url", str(client.base_url), "fail").returncode == 7


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 41), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_signals_reach_claude_and_the_server_ends_after_it(user: User, number: int, status: int) -> None:
    with user.starts("wait") as process:
        told = user.told()
        assert told["pid"] == process.pid
        time.sleep(0.2)
        process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode == status
    assert ends(told["environment"]["ANTHROPIC_BASE_URL"])


@pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")
def test_claude_ignores_no_signal_that_python_ignores(user: User, tmp_path: Path) -> None:
    user.program.write_text("#!/bin/sh\nexec grep SigIgn /proc/self/status\n", encoding="utf-8")
    with scripted_server(tmp_path) as client:
        assert int(user.launches("--url", str(client.base_url)).stdout.split()[1], 16) == 0


def test_giving_up_while_the_server_loads_ends_it(user: User) -> None:
    with user.starts() as process:
        deadline = time.monotonic() + 20
        while not (children := psutil.Process(process.pid).children()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert children
    assert not any(child.is_running() for child in children)
    assert not user.told_file.exists()


def test_a_server_that_cannot_start_is_told_with_its_reason_and_its_log(user: User) -> None:
    ended = user.launches(PENSIEVE_SCRIPT=str(user.folder / "missing.toml"))
    assert ended.returncode == 1
    assert "missing.toml" in ended.stderr
    assert str(user.pensieve_home / "logs/launch-") in ended.stderr
    assert not user.told_file.exists()


def test_something_else_at_a_named_port_is_an_error(user: User) -> None:
    with foreign_server() as url:
        for words in (("--port", url.rpartition(":")[2]), ("--url", url)):
            ended = user.launches(*words)
            assert ended.returncode == 1
            assert f"{url} is not a Pensieve" in ended.stderr
    assert not user.told_file.exists()


def test_a_port_that_is_held_in_silence_is_an_error_that_names_the_mend(user: User) -> None:
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        ended = user.launches("--port", str(holder.getsockname()[1]))
    assert ended.returncode == 1
    assert "--port" in ended.stderr


def test_something_else_at_the_default_port_makes_ours_take_a_free_one(user: User) -> None:
    environment = {key: value for key, value in user.environment.items() if key != "PENSIEVE_PORT"}
    user.environment = environment
    try:
        with foreign_server(port=8765):
            ended = user.launches()
    except OSError:
        pytest.skip("the default port is in use on this machine")
    assert ended.returncode == 0, ended.stderr
    assert "free port" in ended.stderr
    assert not user.told()["environment"]["ANTHROPIC_BASE_URL"].endswith(":8765")
    assert ends(user.told()["environment"]["ANTHROPIC_BASE_URL"])


def test_no_server_at_a_named_address_is_an_error(user: User) -> None:
    ended = user.launches("--url", f"http://127.0.0.1:{user.port()}")
    assert ended.returncode == 1
    assert "pensieve serve" in ended.stderr


def test_another_model_than_the_one_that_is_served_is_refused(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        ended = user.launches("--url", str(client.base_url), "--model", "mlx-community/other")
        assert user.launches("--url", str(client.base_url), "--model", "/models/scripted").returncode == 0
    assert ended.returncode == 1
    assert "serves scripted, not mlx-community/other" in ended.stderr


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


@pytest.mark.parametrize("answer", [b"hello", b"[]", b'{"service": "other"}', b""])
def test_an_answer_of_another_server_is_never_taken_for_a_pensieve(answer: bytes) -> None:
    with foreign_server(answer) as url, pytest.raises(LaunchError, match="not a Pensieve"):
        find_server(url, None)


@pytest.mark.parametrize("text", ["127.0.0.1:8765", "ftp://host", "http://", "http://host:port", "http://[", ""])
def test_an_address_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(LaunchError, match="no address"):
        checked_url(text)


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
