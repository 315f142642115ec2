"""The parent process of a server: crashes, signals, and the end of either process."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from pensieve.cli.serve.crashes import EXIT_SOFTWARE, Crashes
from pensieve.cli.serve.supervisor import Supervisor, interpreter_options
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model
from tests.support.waiting import HUNG_SECONDS, wait_until

HELLO = {"model": "claude-any", "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}]}


class SupervisedServer:
    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def server(self) -> psutil.Process:
        """The child process that serves."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def crash(self, number: signal.Signals = signal.SIGKILL) -> psutil.Process:
        """End the child process, and return when it is gone."""
        child = self.server()
        child.send_signal(number)
        wait_until(lambda: not is_running(child))
        return child

    def answer(self, body: Mapping[str, object] = HELLO) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/messages", json=body, timeout=HUNG_SECONDS)


def is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def supervised(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[SupervisedServer]:
    command = [sys.executable, "-m", "pensieve", "serve", "--port", "0", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        try:
            yield SupervisedServer(process, found[0])
        finally:
            process.kill()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.toml"
    slow = '[[reply]]\nwhen = "slowly"\ntext = "one two three"\nrepeat = 1000\nseconds_per_token = 0.2\n'
    path.write_text(f"{slow}[[reply]]\ntext = 'Hello.'", encoding="utf-8")
    return path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_a_client_that_connects_during_a_crash_is_answered_by_the_next_server(
    script: Path, number: signal.Signals
) -> None:
    log = script.with_name("pensieve.log")
    with supervised("--script", str(script), "--log-file", str(log)) as server:
        first = server.crash(number)
        assert server.answer().json()["content"][0]["text"] == "Hello."
        assert server.server().pid != first.pid
        server.process.terminate()
        _, errors = server.process.communicate(timeout=HUNG_SECONDS)
    assert server.process.returncode == 0
    assert f"pensieve: the server crashed (signal {number.name}); it starts again\n" in errors
    messages = [json.loads(line)["message"] for line in log.read_text(encoding="utf-8").splitlines()]
    crash, answer = (f"the server crashed (signal {number.name}); it starts again", "POST /v1/messages 200")
    assert messages.index(crash) < messages.index(answer)


def test_a_server_starts_again_without_a_reader_of_its_output(script: Path) -> None:
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "pensieve", "serve", "--port", "0", "--script", str(script)]
    with subprocess.Popen(command, stdout=writer, stderr=writer, text=True) as process:
        server = SupervisedServer(process, url_in(reader))
        fill = threading.Thread(target=filled, args=(writer,), daemon=True)
        fill.start()
        wait_until(lambda: not select.select([], [writer], [], 0)[1])
        for _ in range(2):
            server.crash()
            assert server.answer().status_code == 200
        process.terminate()
        assert process.wait(HUNG_SECONDS) == 0
    os.close(reader)
    fill.join()
    os.close(writer)


def filled(pipe: int) -> None:
    """To its last byte. Returns when the reader has closed its end."""
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, 10**6 * b"\n")


def url_in(reader: int) -> str:
    text = ""
    while (found := re.search(r"serving .+ at (http://\S+) \(.*\n", text)) is None:
        text += os.read(reader, 4096).decode()
    return found[1]


def test_an_answer_between_crashes_keeps_the_pauses_short(script: Path) -> None:
    with supervised("--script", str(script)) as server:
        for _ in range(2):
            assert server.answer().status_code == 200
            wait_until(lambda: httpx.get(f"{server.url}/health").json()["requests"]["active"] == 0)
            server.crash()
        assert server.answer().status_code == 200


def test_the_server_ends_when_its_supervisor_is_killed_even_in_the_middle_of_an_answer(script: Path) -> None:
    with supervised("--script", str(script), "--grace-seconds", "3600") as server:
        child = server.server()
        slow = {**HELLO, "max_tokens": 4096, "stream": True, "messages": [{"role": "user", "content": "slowly"}]}
        with httpx.stream("POST", f"{server.url}/v1/messages", json=slow, timeout=HUNG_SECONDS) as response:
            next(line for line in response.iter_lines() if "text_delta" in line)
            server.process.kill()
            wait_until(lambda: not is_running(child))


def test_a_second_signal_ends_a_running_answer_at_once(script: Path) -> None:
    with supervised("--script", str(script), "--grace-seconds", "3600") as server:
        child = server.server()
        slow = {**HELLO, "max_tokens": 4096, "stream": True, "messages": [{"role": "user", "content": "slowly"}]}
        with httpx.stream("POST", f"{server.url}/v1/messages", json=slow, timeout=HUNG_SECONDS) as response:
            lines = response.iter_lines()
            next(line for line in lines if "text_delta" in line)
            server.process.send_signal(signal.SIGINT)
            wait_until(lambda: httpx.get(f"{server.url}/health").json()["status"] == "stopping")
            assert next(line for line in lines if "text_delta" in line), "the first signal ended a running answer"
            server.process.send_signal(signal.SIGINT)
            _, errors = server.process.communicate(timeout=HUNG_SECONDS)
        assert not is_running(child)
        assert server.process.returncode == -signal.SIGINT
        assert "Traceback" not in errors
        assert "stopping: 1 answer may finish within 3600 seconds; Ctrl-C once more stops at once" in errors


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_supervisor_ends_by_the_signal_that_ended_its_server(number: signal.Signals) -> None:
    program = f"from pensieve.cli.serve.supervisor import end_by; end_by({int(number)})"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (-number, "")


def test_signals_that_reach_both_processes_count_once(script: Path) -> None:
    """As systemd and `kill -- -GROUP` send them."""
    with supervised("--script", str(script), "--grace-seconds", "3600") as server:
        slow = {**HELLO, "max_tokens": 30, "stream": True, "messages": [{"role": "user", "content": "slowly"}]}
        with httpx.stream("POST", f"{server.url}/v1/messages", json=slow, timeout=HUNG_SECONDS) as response:
            lines = response.iter_lines()
            next(line for line in lines if "text_delta" in line)
            server.server().send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGTERM)
            events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        assert events[-1]["type"] == "message_stop"
        assert server.process.wait(HUNG_SECONDS) == 0


def test_a_restarted_server_reads_the_prompt_from_disk(tmp_path: Path) -> None:
    folder = write_byte_tokenizer(tmp_path / "model")
    write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)
    body = {**HELLO, "messages": [{"role": "user", "content": "What is it? " * 60}]}
    arguments = ("--model", str(folder), "--cache-disk", "100MB")
    with supervised(*arguments, environment={"PENSIEVE_HOME": str(tmp_path / "home")}) as server:
        before = server.answer(body).json()["usage"]
        server.answer(body)  # a short prompt is written on its second use
        wait_until(lambda: [*(tmp_path / "home" / "kv").rglob("*.kv")])  # a temporary file would be lost
        server.crash(signal.SIGABRT)
        after = server.answer(body).json()["usage"]
        health = httpx.get(f"{server.url}/health").json()
    assert before["cache_read_input_tokens"] == 0
    assert after["cache_read_input_tokens"] > 0
    assert health["prompt_tokens"]["from_disk"] > 0


PROGRAMS = {
    "crashes": "import os; os.kill(os.getpid(), 9)",
    "fails": "raise SystemExit(1)",
    "was lost": "raise SystemExit(70)",
    "ends": "pass",
}


@pytest.mark.parametrize(
    ("what", "status", "num_starts"), [("crashes", -9, 3), ("fails", 1, 1), ("was lost", 70, 3), ("ends", 0, 1)]
)
def test_a_server_that_crashes_again_and_again_is_given_up_with_its_status(
    tmp_path: Path, what: str, status: int, num_starts: int, capfd: pytest.CaptureFixture[str]
) -> None:
    starts = tmp_path / "starts"
    program = f"open({str(starts)!r}, 'a').write('x'); {PROGRAMS[what]}"
    supervisor = Supervisor([sys.executable, "-c", program], 0, hung_seconds=math.inf, crashes=Crashes((0.0, 0.0)))
    assert supervisor.run() == status
    assert len(starts.read_text()) == num_starts
    has_given_up = "again and again without an answer" in capfd.readouterr().err
    assert has_given_up == (num_starts > 1)


def test_a_server_that_gives_no_sign_of_life_is_aborted() -> None:
    """A thread in native code that keeps the interpreter's lock stops every other thread."""
    supervisor = Supervisor(
        [sys.executable, "-c", "import time; time.sleep(3600)"], 0, hung_seconds=1.0, crashes=Crashes(())
    )
    assert supervisor.run() == -signal.SIGABRT


def test_a_stopped_server_is_not_aborted() -> None:
    """It gives no signs of life either, but its user stopped it."""
    program = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    supervisor = Supervisor([sys.executable, "-c", program], 0, hung_seconds=2.0, crashes=Crashes(()))
    me = psutil.Process()

    def continue_it() -> None:
        wait_until(lambda: any(child.status() == psutil.STATUS_STOPPED for child in me.children()))
        (stopped,) = [child for child in me.children() if child.status() == psutil.STATUS_STOPPED]
        threading.Event().wait(4.0)  # longer than the limit
        stopped.send_signal(signal.SIGCONT)

    continuing = threading.Thread(target=continue_it)
    continuing.start()
    assert supervisor.run() == 0
    continuing.join()


def test_a_taken_port_is_reported_by_the_supervisor_alone(script: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        command = [sys.executable, "-X", "importtime", "-m", "pensieve", "serve", "--script", str(script)]
        ended = subprocess.run(
            [*command, "--port", str(taken.getsockname()[1])], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert "in use; choose another with --port" in ended.stderr
    imported = set(re.findall(r"\| +(\S+)$", ended.stderr, re.MULTILINE))
    assert not imported & {"mlx", "mlx.core", "quart", "transformers", "hypercorn", "numpy", "asyncio", "psutil"}


@pytest.mark.parametrize(
    ("original", "arguments", "expected"),
    [
        (["python", "-m", "pensieve", "serve"], ["__main__.py", "serve"], []),
        (["python", "-X", "importtime", "-P", "-m", "pensieve", "serve"], ["m", "serve"], ["-X", "importtime", "-P"]),
        (["python", "/venv/bin/pensieve", "serve", "--port", "0"], ["p", "serve", "--port", "0"], ["-P"]),
        (["python", "-P", "-O", "/venv/bin/pensieve", "serve"], ["p", "serve"], ["-P", "-O"]),
        (["python", "-P", "-m", "pensieve.cli.process.parent_watch", "1", "serve"], ["p", "1", "serve"], ["-P"]),
    ],
)
def test_the_interpreters_options_are_passed_on(original: list[str], arguments: list[str], expected: list[str]) -> None:
    assert interpreter_options(original, arguments) == expected


def test_a_server_whose_engine_hangs_says_so_and_exits_with_status_70(script: Path) -> None:
    command = [sys.executable, "-m", "tests.cli.serve.lost_server", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        refused = httpx.post(f"{found[0]}/v1/messages", json=HELLO, timeout=HUNG_SECONDS)
        health = httpx.get(f"{found[0]}/health", timeout=HUNG_SECONDS)
        _, errors = process.communicate(timeout=HUNG_SECONDS)
    assert (refused.status_code, refused.headers["retry-after"]) == (529, "10")
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    assert health.json()["reason"] == "scripted: it hangs"
    assert process.returncode == EXIT_SOFTWARE
    assert "pensieve: the server cannot go on: scripted: it hangs\n" in errors
