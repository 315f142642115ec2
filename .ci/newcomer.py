"""Plays a newcomer: an empty home, no compiler, nothing installed but Python, and the README's commands in their order.

    python .ci/newcomer.py FOLDER_WITH_THE_WHEEL

The commands and the program are read from README.md; only the address of the server is replaced, so that any free port
will do. pip, uv and pipx find the wheel in the folder as if it were on PyPI; uv and pipx are those beside this Python.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8765"
COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "cl", "nvcc", "rustc", "cargo")
READY_SECONDS = 900


def main(wheels: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for tool in ("uv", "pipx"):
            Newcomer(Path(folder) / tool, wheels.resolve()).install_with(tool)
        newcomer = Newcomer(Path(folder) / "pip", wheels.resolve())
        newcomer.install()
        with newcomer.server() as url:
            print(f"terminal: {newcomer.answer_in_terminal()}")
            print(f"curl:     {newcomer.answer_by_curl(url)}")
            print(f"browser:  {answer_in_browser(url)}")
            print(f"SDK:      {newcomer.answer_of_sdk(url)}")


class Newcomer:
    """A home, a virtual environment, and a PATH with nothing else on it."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder, self.bin = folder, folder / "venv/bin"
        (folder / "home").mkdir(parents=True)
        venv.create(folder / "venv", with_pip=True)
        own = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTPS_"))}
        links = " ".join([*own.pop("PIP_FIND_LINKS", "").split(), str(wheels)])
        self.environment = {
            **own,
            "HOME": str(folder / "home"),
            "PATH": str(self.bin),
            "PENSIEVE_PORT": "0",
            "PIP_FIND_LINKS": links,
            "UV_FIND_LINKS": str(wheels),
            "UV_PYTHON": str(Path(sys.base_prefix) / "bin/python3"),  # it makes no use of a virtual environment's
        }
        assert not [name for name in COMPILERS if shutil.which(name, path=str(self.bin))]

    def install(self) -> None:
        """Without an extra first, as many do on Linux; then by the command that the first start prints."""
        self.run("pip", "install", "--quiet", "pensieve-server")
        if sys.platform == "linux":
            self.run(*self.command_of_first_start("pensieve"), "--quiet")

    def install_with(self, tool: str) -> None:
        """The same with a tool that makes an environment of its own, and without installing; then remove it."""
        for name in (tool, "uvx"):
            (self.bin / name).symlink_to(Path(sys.executable).with_name(name))
        for name in ("dirname", "realpath"):  # uvx starts a program by a script of the shell
            (self.bin / name).symlink_to(shutil.which(name) or name)
        installs = ("uv", "tool", "install") if tool == "uv" else ("pipx", "install")
        pensieve = str(self.folder / "home/.local/bin/pensieve")
        self.run(*installs, "pensieve-server")
        if sys.platform == "linux":
            self.run(*self.command_of_first_start(pensieve))
        assert "not installed" not in self.run(pensieve, "version").stdout.partition("transformers")[0]
        self.run(*installs[:-1], "uninstall", "pensieve-server")
        if tool == "uv":
            print(self.run(*_without_installing(), "version").stdout)

    def command_of_first_start(self, pensieve: str) -> Sequence[str]:
        refused = self.run(pensieve, "serve", succeeds=False)
        lines = refused.stderr.splitlines()
        assert len(lines) == 1, f"expected one sentence, actual {refused.stderr}"
        print(f"first start: {lines[0]}")
        command = shlex.split(lines[0].rpartition("install it with: ")[2])
        assert command[-1] == "pensieve-server[cpu]", command
        return command

    @contextmanager
    def server(self) -> Iterator[str]:
        log = self.folder / "log"
        with log.open("wb") as sink:
            server = subprocess.Popen(self.words("pensieve", "serve"), env=self.environment, stdout=sink, stderr=sink)
        try:
            yield _url(server, log)
        finally:
            print("\n".join(f"  serve: {line}" for line in log.read_text(encoding="utf-8").splitlines()))
            server.terminate()
            server.wait(60)

    def answer_in_terminal(self) -> str:
        """`pensieve run` finds the server that runs."""
        command = next(line for line in README.splitlines() if line.startswith("pensieve run "))
        answer = self.run(*shlex.split(command)).stdout
        assert "Paris" in answer, answer
        return answer.strip()

    def answer_by_curl(self, url: str) -> str:
        """With the machine's own curl, if it has one."""
        command = next(line for line in README.splitlines() if line.startswith("curl "))
        words = shlex.split(command.replace(ADDRESS, url))
        curl = shutil.which("curl")
        if curl is None:
            return "not tried, since this machine has no curl"
        answer = self.run(curl, "--silent", "--show-error", *words[1:]).stdout
        assert "Paris" in answer, answer
        return answer.strip()

    def answer_of_sdk(self, url: str) -> str:
        """The README's program. Its first line says what has to be installed."""
        program = re.search(r"```python\n(.*?)```", README, re.DOTALL)
        assert program is not None
        self.run("pip", "install", "--quiet", "anthropic")
        answer = self.run("python", "-c", program[1].replace(ADDRESS, url)).stdout
        assert "Paris" in answer, answer
        return answer

    def run(self, *words: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        print(f"$ {shlex.join(words)}", flush=True)
        ended = subprocess.run(
            self.words(*words), env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert (ended.returncode == 0) == succeeds, f"exit status {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended

    def words(self, program: str, *words: str) -> Sequence[str]:
        """With the program's path in the virtual environment; Popen would look for it on our own PATH."""
        return [str(self.bin / program) if "/" not in program else program, *words]


def _without_installing() -> Sequence[str]:
    """The README's line with uvx, without its last word; on a Mac, without the extra."""
    line = re.search(r"`(uvx .*) serve`", README)
    assert line is not None
    return shlex.split(line[1] if sys.platform == "linux" else line[1].replace("[cpu]", ""))


def answer_in_browser(url: str) -> str:
    headers: Mapping[str, str] = {"accept": "text/html,application/xhtml+xml"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:  # noqa: S310 - our own
        page = response.read().decode()
    kind = response.headers["content-type"]
    assert kind.startswith("text/html"), kind
    assert "<title>Pensieve</title>" in page, page
    return f"{len(page)} characters of {kind}"


def _url(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        ready = re.search(r"^pensieve: serving .* at (http://\S+)", log.read_text(encoding="utf-8"), re.MULTILINE)
        if ready is not None:
            return ready[1]
        time.sleep(0.2)
    raise AssertionError(f"the server did not become ready:\n{log.read_text(encoding='utf-8')}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
