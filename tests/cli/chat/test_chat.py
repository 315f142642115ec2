"""`pensieve run` and `pensieve chat` against a real server: in pipes, and in a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from perf_gates.loads.servers import ServerProcess, serving
from tests.support.waiting import HUNG_SECONDS

SCRIPT = """
[[reply]]
when = "three"
text = "Hello again"
[[reply]]
text = "<think>Let me see.</think>Hello \\u001b[31mthere"
"""
PROMPT_READY = b"\x1b[?2004h"
"""The terminal is ready for a line when it brackets what is pasted."""
PENSIEVE = (sys.executable, "-m", "pensieve")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("chat")
    (folder / "script.toml").write_text(SCRIPT, encoding="utf-8")
    with serving("--script", str(folder / "script.toml"), environment={"PENSIEVE_HOME": str(folder)}) as process:
        yield process


def run(server: ServerProcess, *words: str, piped: str = "") -> subprocess.CompletedProcess[str]:
    command = [*PENSIEVE, *words, "--url", server.url]
    return subprocess.run(command, input=piped, capture_output=True, text=True, check=False)


def test_an_answer_is_printed_alone(server: ServerProcess) -> None:
    answer = run(server, "run", "scripted", "--verbose", "Hello", "you")
    assert (answer.returncode, answer.stdout) == (0, "Hello \x1b[31mthere\n")
    assert re.fullmatch(r"\d+ prompt tokens \(\d+ cached\), first token after .+, \d+ tokens.*\n", answer.stderr)


def test_what_is_piped_in_is_the_question(server: ServerProcess) -> None:
    assert run(server, "chat", piped="A question").returncode == 0
    empty = run(server, "chat")
    assert (empty.returncode, empty.stderr) == (
        2,
        "pensieve: nothing to ask; give a PROMPT, or text on the standard input\n",
    )


def test_a_model_that_the_server_lacks_is_one_sentence(server: ServerProcess) -> None:
    answer = run(server, "run", "other", "Hello")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"pensieve: the server at {server.url} serves scripted, not other: ")


class Terminal:
    """A person at a terminal of 80 columns. `seen` is everything that the terminal was sent."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.seen = b""

    def type(self, keys: bytes) -> None:
        """Type once the program waits for a line that it has not been given."""
        self.wait_for(PROMPT_READY)
        os.write(self._fd, keys)

    def wait_for(self, mark: bytes) -> bytes:
        """Read until the mark, and return what came before it."""
        begin = len(self.seen)
        while mark not in self.seen[begin:]:
            readable, _, _ = select.select([self._fd], [], [], HUNG_SECONDS)
            assert readable, f"nothing more after {self.seen!r}"
            received = self._receive()
            assert received, f"it has ended after {self.seen!r}"
            self.seen += received
        return self.seen[begin:]

    def _receive(self) -> bytes:
        try:
            return os.read(self._fd, 1)
        except OSError:  # Linux reports the end of the program like this
            return b""


@contextmanager
def terminal(words: Sequence[str], home: Path) -> Iterator[Terminal]:
    main_fd, fd = pty.openpty()
    variables = {**os.environ, "PENSIEVE_HOME": str(home), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    with subprocess.Popen(
        [*PENSIEVE, *words], stdin=fd, stdout=fd, stderr=fd, env=variables, start_new_session=True
    ) as process:
        os.close(fd)
        try:
            yield Terminal(main_fd)
            assert process.wait(HUNG_SECONDS) == 0
        finally:
            process.kill()
            os.close(main_fd)


def test_a_chat_in_a_terminal(server: ServerProcess, tmp_path: Path) -> None:
    with terminal(["chat", "--think", "--url", server.url], tmp_path) as screen:
        screen.type(b"one\x1b\rtwo\r")
        shown = screen.wait_for(b"there")
        assert b"Let me see." in shown
        assert b"\x1b[31m" not in shown.partition(b"Let me see.")[2], "text cannot send commands to the terminal"
        screen.type(b"/sytem\r")
        screen.wait_for(b"no command /sytem; did you mean /system?")
        screen.type(b"\x1b[200~three\nfour\x1b[201~\r")
        screen.wait_for(b"Hello again")
        screen.type(b"/save saved.json\r".replace(b"saved.json", os.fsencode(tmp_path / "saved.json")))
        screen.wait_for(b"Saved 4 messages")
        screen.type(b"\x04")
    saved = json.loads((tmp_path / "saved.json").read_text())
    assert [message["content"] for message in saved["messages"] if message["role"] == "user"] == [
        "one\ntwo",
        "three\nfour",
    ]
    assert (tmp_path / "chat-history").stat().st_mode & 0o777 == 0o600
