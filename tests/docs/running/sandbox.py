"""A reader's machine for one page: an empty home with Pensieve on the path, and the server that the page started."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from tests.docs.running.reasons import without_comment

PORT_OF_PAGES: Final = "8765"
HUNG_SECONDS: Final = 1800.0
"""The embedded model may write thousands of tokens."""
PLACEHOLDERS: Final = {
    "FOLDER_OR_NAME": "smollm2-135m",
    "curl -s URL/": f"curl -s http://127.0.0.1:{PORT_OF_PAGES}/",
    "--port 8766": "--port 0",
}
_KEPT_VARIABLES: Final = ("PIP_", "SSL_", "HTTPS_", "LD_LIBRARY_PATH", "PYTHONPATH")
_READY: Final = re.compile(r"^pensieve: serving .* at http://", re.MULTILINE)
_NEEDS_A_SERVER: Final = re.compile(r"^(pensieve (ps|stop|load|unload)\b|curl )")


class Sandbox:
    def __init__(self, folder: Path, prepared: Path, hub: str) -> None:
        self.folder, self.home, self.work = folder, folder / "home", folder / "work"
        shutil.copytree(prepared, folder, copy_function=_copy)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = str(listener.getsockname()[1])
        self.environment = self._environment(hub)
        self._server: subprocess.Popen[bytes] | None = None

    def run(self, line: str) -> str:
        """What one line prints.

        Raises:
            AssertionError: it failed, or printed a traceback.
        """
        command = self._own(without_comment(line))
        if re.match(r"pensieve serve(?! --help)", command):
            return self.serve(command)
        if _NEEDS_A_SERVER.match(command) and (self._server is None or self._server.poll() is not None):
            self.serve("pensieve serve")
        return self._ended(line, self._process(command, subprocess.PIPE))

    def serve(self, command: str) -> str:
        """Starts it, in place of the page's server before, and leaves it running once it is ready."""
        self.stop()
        log = self.folder / "server.log"
        with log.open("wb") as sink:
            self._server = server = self._process(command, sink)
        threading.Thread(target=server.wait, daemon=True).start()  # as a shell does: `pensieve stop` waits for its end
        ends_at = time.monotonic() + HUNG_SECONDS
        while not _READY.search(_text(log)) and server.poll() is None:
            assert time.monotonic() < ends_at, f"`{command}` is not ready:\n{_text(log)}"
            time.sleep(0.2)
        assert server.poll() is None, f"`{command}` ended with {server.returncode}:\n{_text(log)}"
        return _text(log)

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self._server is None:
            return
        if self._server.poll() is None:
            self._server.send_signal(signal.SIGINT)
        status = self._server.wait(HUNG_SECONDS)
        self._server = None
        assert status == 0, f"the server ended with {status}:\n{_text(self.folder / 'server.log')}"

    def _ended(self, line: str, process: subprocess.Popen[bytes]) -> str:
        try:
            output = process.communicate(timeout=HUNG_SECONDS)[0].decode()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return self._checked(line, process.returncode, output)

    def _checked(self, line: str, status: int, output: str) -> str:
        assert status == 0, f"`{line}` ended with {status}:\n{output}"
        assert "Traceback" not in output, output
        return output

    def _process(self, command: str, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """`exec` leaves no shell between a single command and a signal for it."""
        shell = "fish -c" if command.endswith("| source") else "bash -euo pipefail -c"
        is_single = re.fullmatch(r"pensieve [^|&;]*", command)
        return subprocess.Popen(
            [*shell.split(), f"exec {command}" if is_single else command],
            env=self.environment,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _own(self, command: str) -> str:
        for placeholder, meaning in PLACEHOLDERS.items():
            command = command.replace(placeholder, meaning)
        return command.replace(f"127.0.0.1:{PORT_OF_PAGES}", f"127.0.0.1:{self.port}")

    def _environment(self, hub: str) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT_VARIABLES)}
        return {
            **kept,
            "EDITOR": "cat",
            "HF_ENDPOINT": hub,
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "PENSIEVE_PORT": self.port,
            "TERM": "dumb",
        }


def _copy(source: str, target: str) -> None:
    """Weights, which nothing changes, as another name for the same file."""
    (os.link if source.endswith(".safetensors") else shutil.copy2)(source, target)


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
