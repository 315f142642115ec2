"""`pensieve launch claude` as a process: the server that it finds or starts, and how it ends.

tests/claude_code runs the real CLI.
"""

import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from pensieve.cli.launch.running_servers import LaunchError, find_server, normalized_url
from tests.cli.launch.claude_user import User, foreign_server, stops
from tests.support.running_server import scripted_server
from tests.support.waiting import wait_until


def test_without_a_server_one_is_started_and_ends_with_claude(user: User) -> None:
    files = user.files()
    ended = user.launch("-p", "Say hello")
    record = user.record()
    url = f"http://127.0.0.1:{user.port()}"
    assert ended.returncode == 0, ended.stderr
    assert f"serving scripted at {url}" in ended.stderr
    assert ended.stdout == ""
    assert record["environment"]["ANTHROPIC_BASE_URL"] == url
    assert stops(url)
    assert user.files() == files
    assert [log.name.partition("-")[0] for log in (user.pensieve_home / "logs").iterdir()] == ["launch"]


def test_a_running_server_is_used_and_keeps_running(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        url = str(client.base_url).rstrip("/")
        assert user.launch("--url", url).returncode == 0
        assert user.record()["environment"]["ANTHROPIC_BASE_URL"] == url
        assert client.get("/health").json()["status"] == "healthy"
        assert not user.pensieve_home.exists()


def test_the_exit_status_is_that_of_claude(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        assert user.launch("--url", str(client.base_url), "fail").returncode == 7


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 41), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_signals_reach_claude_and_the_server_ends_with_it(user: User, number: int, status: int) -> None:
    with user.start_launch("wait") as process:
        record = user.record()
        assert record["pid"] == process.pid
        time.sleep(0.2)
        process.send_signal(number)
        process.communicate(timeout=300)
    assert process.returncode == status
    assert stops(record["environment"]["ANTHROPIC_BASE_URL"])


def test_interrupting_the_start_stops_the_server(user: User) -> None:
    with user.start_launch() as process:
        wait_until(psutil.Process(process.pid).children)
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
    assert process.returncode == 130
    _, running = psutil.wait_procs(children, timeout=300)  # a child that had only just started ends by itself
    assert not running
    assert not user.record_file.exists()


def test_a_server_that_cannot_start_is_reported_with_its_reason_and_its_log(user: User) -> None:
    ended = user.launch(PENSIEVE_SCRIPT=str(user.folder / "missing.toml"))
    assert ended.returncode == 1
    assert "missing.toml" in ended.stderr
    assert str(user.pensieve_home / "logs/launch-") in ended.stderr
    assert not user.record_file.exists()


def test_another_server_at_a_given_port_is_an_error(user: User) -> None:
    with foreign_server() as url:
        for words in (("--port", url.rpartition(":")[2]), ("--url", url)):
            ended = user.launch(*words)
            assert ended.returncode == 1
            assert f"{url} is not a Pensieve" in ended.stderr
    assert not user.record_file.exists()


def test_a_port_in_use_without_an_answer_is_an_error_that_names_the_fix(user: User) -> None:
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        ended = user.launch("--port", str(holder.getsockname()[1]))
    assert ended.returncode == 1
    assert "--port" in ended.stderr


def test_another_server_at_the_default_port_makes_the_new_one_take_a_free_port(user: User) -> None:
    environment = {key: value for key, value in user.environment.items() if key != "PENSIEVE_PORT"}
    user.environment = environment
    try:
        with foreign_server(port=8765):
            ended = user.launch()
    except OSError:
        pytest.skip("the default port is in use on this machine")
    assert ended.returncode == 0, ended.stderr
    assert "free port" in ended.stderr
    assert not user.record()["environment"]["ANTHROPIC_BASE_URL"].endswith(":8765")
    assert stops(user.record()["environment"]["ANTHROPIC_BASE_URL"])


def test_no_server_at_a_given_url_is_an_error(user: User) -> None:
    ended = user.launch("--url", f"http://127.0.0.1:{user.port()}")
    assert ended.returncode == 1
    assert "pensieve serve" in ended.stderr


def test_a_model_that_the_server_does_not_serve_is_refused(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        ended = user.launch("--url", str(client.base_url), "--model", "mlx-community/other")
        assert user.launch("--url", str(client.base_url), "--model", "/models/scripted").returncode == 0
    assert ended.returncode == 1
    assert "serves scripted, not mlx-community/other" in ended.stderr


@pytest.mark.parametrize("answer", [b"hello", b"[]", b'{"service": "other"}', b""])
def test_another_server_is_never_mistaken_for_pensieve(answer: bytes) -> None:
    with foreign_server(answer) as url, pytest.raises(LaunchError, match="not a Pensieve server"):
        find_server(url, None)


@pytest.mark.parametrize("text", ["127.0.0.1:8765", "ftp://host", "http://", "http://host:port", "http://[", ""])
def test_an_invalid_url_is_refused(text: str) -> None:
    with pytest.raises(LaunchError, match="not the URL"):
        normalized_url(text)
