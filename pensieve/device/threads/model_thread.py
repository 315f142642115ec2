"""The thread that owns MLX for one model: it loads the model, runs its loop, and frees what loading opened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Generic, TypeVar

from pensieve.device.threads.pooled_thread import PooledThread

L = TypeVar("L")

log = logging.getLogger(__name__)


class ModelThread(Generic[L]):
    """Calls `load` with a stack of what to close at the end, then `run` with its result.

    `loaded` has what `load` returned or raised. `ended` is done when `run` has returned, or has what it raised.
    """

    def __init__(self, load: Callable[[ExitStack], L], run: Callable[[L], None]) -> None:
        self.loaded: Future[L] = Future()
        self.loaded.set_running_or_notify_cancel()  # what is being loaded cannot be cancelled
        self.ended: Future[None] = Future()
        self._load = load
        self._run = run
        self._thread = PooledThread(self._live, name="pensieve-mlx")
        self._thread.start()

    def join(self, timeout_seconds: float) -> bool:
        """Whether the thread has ended and everything is closed."""
        return self._thread.join(timeout_seconds)

    def _live(self) -> None:
        with ExitStack() as resources:
            try:
                loaded = self._load(resources)
            except BaseException as error:
                self.loaded.set_exception(error)
                return
            self.loaded.set_result(loaded)
            try:
                self._run(loaded)
            except BaseException as error:
                log.exception("the thread that computes has ended")
                self.ended.set_exception(error)
            else:
                self.ended.set_result(None)
