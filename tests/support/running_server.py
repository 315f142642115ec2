"""Runs a scripted server in this process, with a client connected over real sockets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from features.harness.target.target import certificates
from pensieve.api import server_state
from pensieve.cli.wiring import scripted_components
from perf_gates.loads.in_process_server import running_server, settings_for

__all__ = ["ask", "running_server", "scripted_server", "settings_for", "with_quick_pings"]


def with_quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make servers in this process send pings after 0.1 seconds of silence."""
    monkeypatch.setattr(server_state, "ServerState", partial(server_state.ServerState, ping_interval_seconds=0.1))


@contextmanager
def scripted_server(folder: Path, script: str = "", **flags: str) -> Iterator[httpx.Client]:
    """Yield a client of a `--checked` server whose engine follows `script`."""
    path = folder / "script.toml"
    path.write_text(script, encoding="utf-8")
    with (
        running_server(settings_for(**flags), scripted_components(path)) as url,
        httpx.Client(base_url=url, timeout=600, verify=certificates()) as client,
    ):
        yield client


def ask(text: str = "Hello", **fields: object) -> Mapping[str, object]:
    """The body of a Messages request."""
    return {"model": "scripted", "max_tokens": 64, "messages": [{"role": "user", "content": text}], **fields}
