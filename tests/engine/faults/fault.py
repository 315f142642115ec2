"""A fault at one stage of the generation loop. The parts that strike are in `tests.engine.faults.faulty_parts`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Final

PLAIN: Final = "the plain one"
"""A fault in the output's text is that of requests with these words."""


class Stage(Enum):
    RECEIVE = "receive"
    ADMIT = "admit"
    INSERT = "insert"
    PREFILL = "prefill"
    DECODE = "decode"
    SAMPLE = "sample"
    TEXT = "output text"
    EMIT = "emit"
    STORE = "store"
    RELIEF = "relief"
    REBUILD = "rebuild"


class Kind(Enum):
    RAISE = "raises once"
    KEEP_RAISING = "raises until it is loaded again"
    PERSIST = "raises forever"
    EXIT = "raises SystemExit"
    HANG = "hangs"
    SLOW = "is slow"


class InjectedError(Exception):
    """The fault itself."""


class Fault:
    """Strikes at one stage, once it is `armed` and `may_strike` holds. `release` ends a hang."""

    SLOW_SECONDS, NUM_SLOW = 0.2, 3

    def __init__(self, stage: Stage, kind: Kind) -> None:
        self.stage = stage
        self.kind = kind
        self.armed = False
        self.may_strike: Callable[[], bool] = lambda: True
        self.num_strikes = 0
        self.release = threading.Event()

    def note_load(self) -> None:
        """The model has been loaded again."""
        if self.kind is not Kind.PERSIST:
            self.armed = False

    def at(self, stage: Stage) -> None:
        """Called on the MLX thread when it enters a stage."""
        if stage is Stage.DECODE and self.stage is Stage.REBUILD and self._is_due and not self.num_strikes:
            self.num_strikes += 1
            raise InjectedError("a fault, so that the batch is made again")
        if stage is self.stage and self._is_due:
            self._strike()

    @property
    def _is_due(self) -> bool:
        return self.armed and (self.num_strikes > 0 or self.may_strike())

    def _strike(self) -> None:
        self.num_strikes += 1
        if self.kind in (Kind.RAISE, Kind.EXIT, Kind.HANG):
            self.armed = False
        if self.kind is Kind.HANG:
            self.release.wait()
        elif self.kind is Kind.SLOW:
            self.armed = self.num_strikes < self.NUM_SLOW
            self.release.wait(self.SLOW_SECONDS)
        elif self.kind is Kind.EXIT:
            raise SystemExit(1)
        else:
            raise InjectedError(f"injected at {self.stage.value}")
