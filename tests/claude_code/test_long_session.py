"""The prompts of a session are read from the prompt cache, and after a restart of the server from disk (C2, C8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.claude_code.client import ClaudeCode
from tests.claude_code.conftest import IS_LONG_FORM, SCRIPT
from tests.claude_code.loopback_only import LoopbackOnly
from tests.claude_code.recorder import Exchange, recording
from tests.claude_code.test_turns import translate_notes
from tests.support.sdk_client import serving

MIN_SHARE = 0.95
REQUESTS = 10 if IS_LONG_FORM else 6
AFTER_RESTART = 2


def test_a_session_is_read_from_the_cache_also_after_a_restart(
    program: Path,
    network: LoopbackOnly,
    scripted_model: Callable[[int], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "pensieve"))
    model, home, folder = scripted_model(131072), tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()

    @contextmanager
    def session() -> Iterator[ClaudeCode]:
        """Claude Code with a new server."""
        arguments = ("--model", str(model), "--script", str(SCRIPT), "--cache-disk", "2GB")
        with network.entered(), serving(*arguments) as server, recording(str(server.base_url).rstrip("/")) as recorder:
            yield ClaudeCode(program, home, folder, recorder, model.name)

    with session() as claude:
        translate_notes(claude)
        while len(claude.recorder.messages) < REQUESTS:
            claude.ask(f"Go on with part {len(claude.recorder.messages)}.", "--continue")
        assert_read_from_the_cache(claude.recorder.messages[1:])
    with session() as claude:
        for part in range(AFTER_RESTART):
            claude.ask(f"Go on after the restart, {part}.", "--continue")
        assert_read_from_the_cache(claude.recorder.messages)
        health = httpx.get(f"{claude.recorder.upstream}/health", trust_env=False).json()
        assert health["prompt_tokens"]["from_disk"] > MIN_SHARE * claude.recorder.messages[0].prompt_tokens


def assert_read_from_the_cache(exchanges: list[Exchange]) -> None:
    assert exchanges
    shares = [exchange.cached_share for exchange in exchanges]
    assert min(shares) >= MIN_SHARE, f"expected at least {MIN_SHARE} of each prompt from the cache, actual {shares}"
