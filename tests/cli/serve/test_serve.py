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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_url_and_stops_on_a_signal(script: Path, number: signal.Signals) -> None:
    with served("--port", "0", "--script", str(script)) as (process, line):
        match = re.fullmatch(r"pensieve: serving scripted at (http://127\.0\.0\.1:\d+) \(.*\)\n", line)
        assert match is not None, line
        assert httpx.get(f"{match[1]}/health").json()["status"] == "healthy"
        process.send_signal(number)
        assert process.wait(300) == 0


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
