"""`pensieve ps`, `load`, `unload` and `stop` against a real server with its supervisor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pensieve.cli.main import main
from pensieve.cli.servers.processes import is_server
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that plays a script, and its URL."""
    script = tmp_path_factory.mktemp("script") / "script.toml"
    script.write_text("[[reply]]", encoding="utf-8")
    command = [sys.executable, "-m", "pensieve", "serve", "--port", "0", "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield process, found[0]
        process.terminate()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(words)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def entry_of(capsys: pytest.CaptureFixture[str], url: str) -> dict[str, Any]:
    entries = json.loads(run(capsys, "ps", "--json")[1])
    (entry,) = [entry for entry in entries if entry["url"] == url]
    return dict(entry)


def test_a_server_and_its_child_process_are_listed_once(
    server: tuple[subprocess.Popen[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    process, url = server
    entry = entry_of(capsys, url)
    assert (entry["pid"], entry["status"], entry["models"][0]["id"]) == (process.pid, "healthy", "scripted")
    status, out, _ = run(capsys, "ps")
    (line,) = [line for line in out.splitlines() if url.removeprefix("http://") in line]
    assert status == 0
    assert line.startswith("scripted ")
    assert line.endswith(f" {process.pid}")


def test_a_model_is_unloaded_and_loaded(
    server: tuple[subprocess.Popen[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = server
    for command, state in (("unload", "unloaded"), ("load", "loaded")):
        assert f"scripted is {state}" in run(capsys, command, "scripted", "--url", url)[1]
        assert entry_of(capsys, url)["models"][0]["state"] == state


def test_a_refusal_is_the_servers_own_sentence(
    server: tuple[subprocess.Popen[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "load", "other", "--url", server[1])
    assert (status, err) == (1, "pensieve: model: 'other' is not served here; served: scripted\n")


def test_the_log_of_a_server_is_shown(
    server: tuple[subprocess.Popen[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "load", "no-such-model", "--url", server[1])
    wait_until(lambda: "model=no-such-model" in run(capsys, "logs", "--url", server[1])[1])
    status, out, _ = run(capsys, "logs", "-n", "1", "--url", server[1])
    assert status == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO pensieve\.requests: .+\n", out)


def test_without_a_server_the_fix_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("stop",), ("logs",), ("load", "any"), ("unload", "any")):
        status, _, err = run(capsys, *command, "--port", "9")
        assert (status, err) == (
            1,
            "pensieve: no server answers at http://127.0.0.1:9; start one with `pensieve serve`\n",
        )


def test_a_stopped_server_has_ended_when_the_command_returns(
    server: tuple[subprocess.Popen[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    process, url = server
    assert run(capsys, "stop", "--url", url)[1] == f"Stopped {url}\n"
    assert process.wait(0) == 0


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/bin/python3 /home/me/.local/bin/pensieve serve qwen", True),
        ("python -m pensieve serve", True),
        ("python -P -m pensieve.cli.process.parent_watch 17 serve --port 0", True),
        ("python -m pensieve.cli.process.parent_watch 17 models list", False),
        ("/usr/bin/python3 /home/me/.local/bin/pensieve run serve", False),
        ("vim pensieve", False),
        ("", False),
    ],
)
def test_a_server_is_recognised_by_its_command(command: str, expected: bool) -> None:  # noqa: FBT001
    assert is_server(command.split()) is expected
