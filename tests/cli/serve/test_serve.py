"""`pensieve serve` as a process."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pensieve.models.files.model_folder import ModelFolder
from tests.support.waiting import wait_until


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.toml"
    path.write_text("[[reply]]", encoding="utf-8")
    return path


def pensieve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pensieve", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_line_with_the_url_reaches_a_pipe_while_the_log_goes_to_a_terminal(script: Path) -> None:
    terminal, stderr = os.openpty()
    command = (sys.executable, "-m", "pensieve", "serve", "--port", "0", "--script", str(script))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        httpx.get(f"{line.split()[4]}/v1/models").raise_for_status()
        process.terminate()
        assert process.wait(300) == 0
        assert process.stdout.read() == ""
    os.close(stderr)
    log = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert re.fullmatch(r"pensieve: serving scripted at http://127\.0\.0\.1:\d+ \(.*\)\n", line)
    assert "GET /v1/models 200" in re.sub(r"\x1b\[[0-9;]*m", "", log)
    assert "serving" not in log


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "pensieve", "serve", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_prints_its_url_and_stops_on_a_signal(script: Path, number: signal.Signals) -> None:
    with served("--port", "0", "--script", str(script)) as (process, line):
        match = re.fullmatch(r"pensieve: serving scripted at (http://127\.0\.0\.1:\d+) \(.*\)\n", line)
        assert match is not None, line
        assert httpx.get(f"{match[1]}/health").json()["status"] == "healthy"
        process.send_signal(number)
        assert process.wait(300) == 0


def test_a_server_that_ignores_hangups_goes_on(script: Path) -> None:
    """As `nohup` starts it."""
    ignoring = "trap '' HUP; exec \"$@\""
    command = ("sh", "-c", ignoring, "sh", sys.executable, "-m", "pensieve", "serve", "--port", "0", "--script", script)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[4]
        process.send_signal(signal.SIGHUP)
        assert httpx.get(f"{url}/health").status_code == 200
        process.terminate()
        assert process.wait(300) == 0


def test_a_closed_standard_output_does_not_stop_the_server(script: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reader, writer = os.pipe()
    os.close(reader)
    command = (sys.executable, "-m", "pensieve", "serve", "--port", str(port), "--script", script)
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        os.close(writer)
        wait_until(lambda: process.poll() is not None or _is_healthy(port))
        process.terminate()
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


def _is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_a_home_that_is_a_file_is_named_by_every_command(tmp_path: Path, script: Path) -> None:
    for command in (("serve", "--port", "0", "--script", str(script)), ("cache", "show"), ("models", "list")):
        ended = pensieve(*command, PENSIEVE_HOME=str(script))
        assert ended.returncode == 1
        assert (
            ended.stderr
            == f"pensieve: {script} is a file, not a folder; set PENSIEVE_HOME to a folder that can be written\n"
        )


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which none can be created")
def test_a_home_that_cannot_be_created_ends_the_start_with_one_sentence(tiny_folder: ModelFolder) -> None:
    ended = pensieve("serve", "--port", "0", "--model", str(tiny_folder.path), PENSIEVE_HOME="/proc/pensieve")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("pensieve: PENSIEVE_HOME: cannot create /proc/pensieve (")


def test_a_port_in_use_is_reported_with_the_fix(script: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = pensieve("serve", "--port", str(taken.getsockname()[1]), "--script", str(script))
    assert ended.returncode == 1
    assert "in use; choose another with --port" in ended.stderr


def test_an_unreadable_script_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[[reply]]\nsong = 1", encoding="utf-8")
    ended = pensieve("serve", "--port", "0", "--script", str(broken))
    assert ended.returncode == 1
    assert str(broken) in ended.stderr
    assert "song" in ended.stderr


def test_a_wrong_setting_is_a_usage_error() -> None:
    ended = pensieve("serve", PENSIEVE_PORT="many")
    assert ended.returncode == 2
    assert "PENSIEVE_PORT" in ended.stderr


def test_a_wrong_settings_file_is_a_usage_error_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("# mine\nprot = 1", encoding="utf-8")
    ended = pensieve("serve", PENSIEVE_CONFIG=str(file))
    assert ended.returncode == 2
    assert ended.stderr == f"pensieve: {file}, line 2: prot: unknown setting; did you mean port?\n"


def test_a_server_has_the_settings_of_the_file_and_warns_once_of_an_unknown_variable(script: Path) -> None:
    file = script.with_name("config.toml")
    file.write_text(f"port = 0\nscript = '{script.name}'\n[models.scripted]\nalias = 'nick'", encoding="utf-8")
    environment = {**os.environ, "PENSIEVE_CONFIG": str(file), "PENSIEVE_PROT": "1"}
    command = (sys.executable, "-m", "pensieve", "serve")
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[4]
        assert httpx.get(f"{url}/v1/models/nick").json()["id"] == "scripted"
        process.terminate()
        _, errors = process.communicate(timeout=300)
    assert errors.count("PENSIEVE_PROT is not a variable of Pensieve; did you mean PENSIEVE_PORT?") == 1


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    ended = pensieve("serve", "--port", "0", "--model", str(tmp_path / "nothing"))
    assert ended.returncode == 1
    assert "nothing" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_version_is_printed() -> None:
    ended = pensieve("--version")
    assert re.fullmatch(r"pensieve \d+\.\d+\.\d+\n", ended.stdout)


def test_help_names_every_setting_and_its_variable() -> None:
    ended = pensieve("serve", "--help")
    for name in ("--model", "--api-key", "PENSIEVE_API_KEY", "--cors-origin", "--script"):
        assert name in ended.stdout
