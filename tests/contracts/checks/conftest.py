"""An event loop with a clock of its own, which jumps to the next timer as soon as nothing else is left to run.

In-memory implementations wait for nothing outside the loop, so a hanging one is caught at once, and no verdict depends
on how fast the machine is.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


class _JumpingClockLoop(asyncio.SelectorEventLoop):
    _now = 0.0
    _ready: Any
    _scheduled: Any

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0].when())
        super()._run_once()  # type: ignore[misc]


@pytest.fixture(autouse=True)
def jumping_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.events, "new_event_loop", _JumpingClockLoop)
