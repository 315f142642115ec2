"""Bars on a terminal for what takes long: models that load, and long prompts that are computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.values.measurements import RequestProgress, RequestStage
from pensieve.serving.registry import ModelState

if TYPE_CHECKING:
    from rich.console import Console

INTERVAL_SECONDS: Final = 0.5
MIN_SECONDS: Final = 2.0
"""How long a prompt has been computed before it gets a bar."""
MAX_BARS: Final = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """`total` is None for what cannot be measured."""

    title: str
    done: int = 0
    total: int | None = None


def bars(models: Iterable[ModelState]) -> list[Bar]:
    return [bar for model in models for bar in _bars_of(model)][:MAX_BARS]


def _bars_of(model: ModelState) -> Iterator[Bar]:
    if model.status == "loading":
        yield Bar(f"loading {model.id}")
    for request in model.requests:
        if request.stage is RequestStage.PREFILLING and request.seconds >= MIN_SECONDS:
            yield Bar(_title(model.id, request), request.prefilled_tokens, request.prompt_tokens)


def _title(model_id: str, request: RequestProgress) -> str:
    return f"{model_id}: {request.prefilled_tokens:,} of {request.prompt_tokens:,} tokens, {request.seconds:.0f} s"


class TerminalProgress:
    """Bars below the log, which disappear when nothing takes long any more. Both use the same console."""

    def __init__(self, console: Console, states: Callable[[], Iterable[ModelState]]) -> None:
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - only terminals need it

        self._states = states
        columns = (TextColumn("{task.description}", markup=False), BarColumn())
        self._progress = Progress(
            *columns,
            console=console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,  # or the line with the URL would not reach a file that it is written to
            redirect_stderr=False,
        )
        self._is_shown = False

    async def watch(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                self.show(bars(self._states()))
                await asyncio.sleep(INTERVAL_SECONDS)
        finally:
            self.show([])

    def show(self, wanted: list[Bar]) -> None:
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        for bar in wanted:
            self._progress.add_task(bar.title, total=bar.total, completed=bar.done)
        if bool(wanted) != self._is_shown:
            self._is_shown = bool(wanted)
            (self._progress.start if wanted else self._progress.stop)()
        self._progress.refresh()
