"""A user with Claude Code, played by a program that records how it was started."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.support.waiting import wait_until

CLAUDE = """#!{python}
import json, os, pathlib, sys, time
record = {{"environment": dict(os.environ), "arguments": sys.argv[1:], "pid": os.getpid()}}
pathlib.Path(os.environ["RECORD"]).write_text(json.dumps(record))
if "wait" in sys.argv:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(41)
sys.exit(7 if "fail" in sys.argv else 0)
"""

_PASSED = ("COVERAGE_PROCESS_", "PYTHONPATH")


class User:
    """A user with a home directory, Claude Code on PATH, and a script in place of a model."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.record_file = folder / "record.json"
        self.program = folder / "bin/claude"
        self.pensieve_home = folder / "kept"
        for new_folder in (self.home / ".claude", self.program.parent, folder / "project"):
            new_folder.mkdir(parents=True)
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
            "RECORD": str(self.record_file),
            "ANTHROPIC_API_KEY": "sk-the-users-own",
            "CLAUDE_CODE_USE_BEDROCK": "1",
            **{name: value for name, value in os.environ.items() if name.startswith(_PASSED)},
        }

    def start_launch(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "pensieve", "launch", "claude", *words],
            env={**self.environment, **environment},
            cwd=self.folder / "project",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def launch(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with self.start_launch(*words, **environment) as process:
            try:
                stdout, stderr = process.communicate(timeout=300)
            finally:
                process.kill()
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def record(self) -> dict[str, Any]:
        """The environment, the arguments and the process id of the started program. Waits for the start."""
        wait_until(lambda: self.record_file.exists() and self.record_file.read_text())
        record: dict[str, Any] = json.loads(self.record_file.read_text())
        return record

    def port(self) -> int:
        return int(self.environment["PENSIEVE_PORT"])

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.home)): path.read_bytes() for path in self.home.rglob("*") if path.is_file()}


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


def stops(url: str) -> bool:
    """Whether the server at `url` stops listening within a few seconds."""
    host, _, port = url.removeprefix("http://").partition(":")
    deadline = time.monotonic() + 300
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
