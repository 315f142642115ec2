"""What a mutant is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tests.mutants.wire import Frames, ProxiedAnswer, ProxiedCall


def _same_call(call: ProxiedCall) -> ProxiedCall:
    return call


def _same_answer(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer


def _same_frames(frames: Frames) -> Frames:
    return frames


KEYS = ("the-key-of-the-correct-server", "another-key-of-the-correct-server")


class BaseServer(Enum):
    """The correct server that a mutant is built on: one on which the fault shows and is judged quickly."""

    SCRIPTED = "plays the suite's script"
    GUARDED = "plays the script and requires a key"
    RATE_LIMITED = "plays the script and allows three requests a minute for each client"
    OVERLOADED = "plays the script and is overloaded once a scenario has run"
    TWO_KEYS = "has a model of random weights and two keys"
    CONSTRAINED = "has a model of random weights and constrains its answers to schemas"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A correct server with one fault. `calls` changes its requests, `answers` and `frames` what it sends."""

    name: str
    caught_by: str
    calls: Callable[[ProxiedCall], ProxiedCall] = _same_call
    answers: Callable[[ProxiedCall, ProxiedAnswer], ProxiedAnswer] = _same_answer
    frames: Callable[[Frames], Frames] = _same_frames
    base: BaseServer = BaseServer.SCRIPTED
    reads_bodies: bool = True
    """Otherwise it answers by the headers alone, and closes the connection."""
    serves_one_at_a_time: bool = False
    """Another connection waits until the one before is closed."""
    waits_for_bodies: bool = False
    """However long their clients pause."""
    in_every_example: bool = False
    """Every example of the scenario catches it: each of them is about another part of the fault."""


NO_FAULT = Mutant("no-fault", caught_by="")
