"""Runs Claude Code for a test, without the settings of the machine's user, against one server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.claude_code.recorder import Recorder

TURN_SECONDS = 800
"""On a busy machine, a turn of the embedded model takes a minute."""


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """Claude Code works in `folder` and keeps its sessions in `home`. Its requests pass through `recorder`."""

    program: Path
    home: Path
    folder: Path
    recorder: Recorder
    model: str

    def environment(self) -> dict[str, str]:
        """The whole environment of the client. Only PATH comes from this process."""
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "ANTHROPIC_BASE_URL": self.recorder.url,
            "ANTHROPIC_API_KEY": "any",
            "ANTHROPIC_MODEL": self.model,
            "ANTHROPIC_SMALL_FAST_MODEL": self.model,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "1024",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    def ask(self, prompt: str, *arguments: str, **environment: str | None) -> Mapping[str, Any]:
        """Run one turn without a terminal, and return the result that it prints. None removes a variable."""
        return self._run([*arguments, "--output-format", "json", "-p", prompt], "", environment)

    def send(self, contents: Sequence[list[dict[str, Any]]], *arguments: str) -> Mapping[str, Any]:
        """Run one turn for each message's content blocks, and return the result of the last."""
        form = ["-p", "--verbose", "--input-format", "stream-json", "--output-format", "stream-json"]
        messages = [{"type": "user", "message": {"role": "user", "content": content}} for content in contents]
        return self._run([*arguments, *form], "".join(f"{json.dumps(message)}\n" for message in messages), {})

    def _run(self, arguments: Sequence[str], given: str, environment: Mapping[str, str | None]) -> Mapping[str, Any]:
        variables = {**self.environment(), **environment}
        process = subprocess.run(
            [self.program, *arguments],
            env={name: value for name, value in variables.items() if value is not None},
            cwd=self.folder,
            input=given,
            capture_output=True,
            text=True,
            timeout=TURN_SECONDS,
            check=False,
        )
        lines = process.stdout.splitlines()
        assert lines, f"no result, status {process.returncode}: {process.stderr[-2000:]}"
        result: dict[str, Any] = json.loads(lines[-1])
        return result

    @contextmanager
    def started(self, prompt: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start one turn without waiting for it. It is killed when the block ends."""
        command = [str(self.program), "-p", prompt]
        devnull = subprocess.DEVNULL
        with subprocess.Popen(
            command, env=self.environment(), cwd=self.folder, stdin=devnull, stdout=devnull, stderr=devnull
        ) as process:
            try:
                yield process
            finally:
                process.kill()
                process.wait(300)

    def num_active(self) -> int:
        """The number of active requests that the server reports."""
        health = httpx.get(f"{self.recorder.upstream}/health", timeout=300, trust_env=False).json()
        return int(health["requests"]["active"])

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")
