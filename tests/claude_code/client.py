"""Claude Code as a test runs it: nothing of the machine's own settings, and one server that it talks to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.claude_code.recorder import Recorder

TURN_SECONDS = 240
"""The real small model takes a minute for its turn where the machine has other work."""


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """`folder` is where it works, `home` where it keeps its sessions; `recorder` stands between it and the server."""

    program: Path
    home: Path
    folder: Path
    recorder: Recorder
    model: str

    def environment(self) -> dict[str, str]:
        """All that it is told; of this process's own there is PATH alone."""
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

    def ask(self, prompt: str, *arguments: str, **environment: str) -> Mapping[str, Any]:
        """One turn without a terminal, to its end: what it prints as its result."""
        ended = subprocess.run(
            [self.program, *arguments, "--output-format", "json", "-p", prompt],
            env=self.environment() | environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TURN_SECONDS,
            check=False,
        )
        assert ended.stdout.startswith("{"), f"no result, but status {ended.returncode}: {ended.stderr[-2000:]}"
        result: dict[str, Any] = json.loads(ended.stdout)
        return result

    @contextmanager
    def started(self, prompt: str) -> Iterator[subprocess.Popen[bytes]]:
        """One turn that is not waited for; ended with the block at the latest."""
        command = [str(self.program), "-p", prompt]
        nothing = subprocess.DEVNULL
        with subprocess.Popen(
            command, env=self.environment(), cwd=self.folder, stdin=nothing, stdout=nothing, stderr=nothing
        ) as process:
            try:
                yield process
            finally:
                process.kill()
                process.wait(300)

    def num_active(self) -> int:
        """How many answers the server is at, by its own count."""
        health = httpx.get(f"{self.recorder.upstream}/health", timeout=300, trust_env=False).json()
        return int(health["requests"]["active"])

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")
