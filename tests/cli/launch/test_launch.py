"""`pensieve launch claude` as a process: the server that it finds or starts, and how it ends.

What the real CLI makes of it is tested where the real CLI runs.
"""

import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from pensieve.cli.launch.running_servers import LaunchError, checked_url, find_server
from tests.cli.launch.claude_user import User, ends, foreign_server
from tests.support.running_server import scripted_server


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


def test_giving_up_while_the_server_loads_ends_it(user: User) -> None:
    with user.starts() as process:
        deadline = time.monotonic() + 20
        while not (children := psutil.Process(process.pid).children()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert children
    _, running = psutil.wait_procs(children, timeout=20)  # one that was only just started ends by itself
    assert not running
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


@pytest.mark.parametrize("answer", [b"hello", b"[]", b'{"service": "other"}', b""])
def test_an_answer_of_another_server_is_never_taken_for_a_pensieve(answer: bytes) -> None:
    with foreign_server(answer) as url, pytest.raises(LaunchError, match="not a Pensieve"):
        find_server(url, None)


@pytest.mark.parametrize("text", ["127.0.0.1:8765", "ftp://host", "http://", "http://host:port", "http://[", ""])
def test_an_address_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(LaunchError, match="no address"):
        checked_url(text)
