"""One soak: two servers, their clients, and the faults of one of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import SMOLLM2, embedded_folder
from tests.soak.faults import DISK_BYTES, NoDiskError, keep_full, kill_every, small_disk, stop_clients
from tests.soak.loads import Pause, Scene, fill_memos, run_client
from tests.soak.plan import MINUTE, Plan
from tests.soak.questions import Answer, Question, ask, questions_for
from tests.soak.record import OUTCOMES, Record
from tests.soak.server import Server, serving
from tests.soak.verdict import Measured
from tests.support.tiny_model import EMBEDDED_VOCABULARY, write_tiny_model

TINY, OTHER, EMBEDDED = "tiny", "other", SMOLLM2.name
IDLE_SECONDS: Final = 20.0
"""After which a model is unloaded: longer than a rest. The other tiny model is requested less often, so that models are
switched.
"""
SETTLE_SECONDS: Final = 2.0
CACHE_SIZE: Final = "16MB"
"""Small enough to be full after ten minutes, when memory is measured first."""
_NUM_SAMPLES: Final = 3


@dataclass(slots=True)
class Run:
    plan: Plan
    home: Path
    expected: dict[Question, Answer] = field(default_factory=dict)
    steady: Record = field(default_factory=Record)
    killed: Record = field(default_factory=Record)
    measured: list[Measured] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)
    """Questions that the idle server answered in two ways."""
    disk_error: str = ""
    """Why the disk of the second server is not a small one."""
    pause: Pause = field(default_factory=Pause)
    over: threading.Event = field(default_factory=threading.Event)

    def play(self) -> None:
        with ExitStack() as stack:
            models = self._write_models()
            arguments = (*_arguments(models), "--cache-disk", str(DISK_BYTES // 2))
            steady = stack.enter_context(serving(self.home / "steady", *arguments))
            self._learn(steady)
            self._fill_memos(steady)
            home = self._second_home(stack)
            killed = stack.enter_context(serving(home, *arguments))
            self.steady, self.killed = Record(), Record()
            threads = self._start(steady, killed, home)
            try:
                self._watch(steady)
            finally:
                self.over.set()
                for thread in threads:
                    thread.join()

    def _write_models(self) -> list[str]:
        """The paths of the models: tiny ones of two windows, and the embedded one."""
        tiny = write_tiny_model(self.home / TINY, vocab_size=EMBEDDED_VOCABULARY, max_position_embeddings=16384)
        other = write_tiny_model(
            self.home / OTHER,
            seed=1,
            vocab_size=EMBEDDED_VOCABULARY,
            hidden_size=128,
            intermediate_size=256,
            head_dim=32,
        )
        return [str(tiny), str(other), *self._embedded()]

    def _second_home(self, stack: ExitStack) -> Path:
        try:
            return stack.enter_context(small_disk(self.home / "killed"))
        except NoDiskError as error:
            self.disk_error = str(error)
            return self.home / "killed"

    def _learn(self, server: Server) -> None:
        """Ask the idle server each question twice: without a prompt cache, and with it."""
        questions = questions_for(OTHER, 40, 40, num_subjects=2)
        if self.plan.with_embedded:
            questions += questions_for(TINY, 120, 300) + questions_for(EMBEDDED, 10, 4, num_subjects=3)
        else:
            questions += questions_for(TINY, 40, 60, num_subjects=3)
        print(f"asking the idle server {len(questions)} questions", flush=True)
        for each in questions:
            self.expected[each] = ask(server.client, each)
            if ask(server.client, each) != self.expected[each]:
                self.unstable.append(each.name)
        print(f"{len(self.unstable)} of them were answered in two ways", flush=True)

    def _fill_memos(self, server: Server) -> None:
        """The ledger counts them as full from the start. Some fill in an hour, and would look like a leak."""
        for model in (TINY, EMBEDDED) if self.plan.with_embedded else ():
            print(f"filling the memos of {model}", flush=True)
            fill_memos(server.client, model)

    def _embedded(self) -> list[str]:
        return [str(embedded_folder(ConsoleProgress()))] if self.plan.with_embedded else []

    def _start(self, steady: Server, killed: Server, home: Path) -> list[threading.Thread]:
        real = [EMBEDDED] if self.plan.with_embedded else [TINY]
        scene = Scene(steady, self.steady, self.expected, self.pause, self.over)
        other = Scene(killed, self.killed, self.expected, Pause(), self.over)
        kill, full = self.plan.kill_seconds, self.plan.full_disk
        jobs: list[tuple[Callable[..., None], tuple[object, ...]]] = [
            (run_client, (scene, [TINY], 1, 0.2)),
            (run_client, (scene, [TINY, *real], 2, 0.2)),
            (run_client, (scene, real, 3, 0.2)),
            (run_client, (scene, [OTHER], 4, 2 * IDLE_SECONDS)),
            (run_client, (other, [TINY, OTHER], 5, 0.3)),
            (run_client, (other, [TINY, *real], 6, 0.3)),
            (stop_clients, (steady, TINY, self.plan.stopped_seconds, self.over, self.steady)),
            (stop_clients, (killed, TINY, self.plan.stopped_seconds, self.over, self.killed)),
            (kill_every, (killed, self.killed, kill, self.over)),
            *([] if self.disk_error else [(keep_full, (home, *full, self.killed, self.over))]),
        ]
        threads = [threading.Thread(target=job, args=arguments) for job, arguments in jobs]
        for thread in threads:
            thread.start()
        return threads

    def _watch(self, steady: Server) -> None:
        """Print a line each minute, and measure the server without requests every few minutes, and at the end."""
        began = time.monotonic()
        next_line, next_measure = min(MINUTE, self.plan.seconds / 4), self.plan.measure_seconds
        while (at := time.monotonic() - began) < self.plan.seconds:
            if at >= next_line:
                self._print_line(at, steady)
                next_line += MINUTE
            if at >= next_measure:
                self._measure(steady, at)
                next_measure += self.plan.measure_seconds
            time.sleep(0.2)
        self._measure(steady, time.monotonic() - began)

    def _print_line(self, at: float, steady: Server) -> None:
        level = steady.level()
        counts = "; ".join(
            f"{name} " + ", ".join(f"{record.total(each)} {each}" for each in OUTCOMES if record.total(each))
            for name, record in (("steady", self.steady), ("killed", self.killed))
        )
        taken = f"{level.resident_bytes / 1e6:.0f} MB, {level.open_files} files, {level.num_threads} threads"
        print(f"{at / MINUTE:6.1f} min: {counts}; {taken}", flush=True)

    def _measure(self, server: Server, at: float) -> None:
        """The level of a server that has just answered with each model that stays, and has unloaded the other."""
        kept = [item for item in self.expected if item.name in (f"{TINY}: call", f"{EMBEDDED}: call")]
        with self.pause.quiet():
            is_switched = True
            while is_switched:
                for item in kept:
                    ask(server.client, item.limited_to(1))
                time.sleep(SETTLE_SECONDS)
                models = {model["id"]: model["state"] for model in server.health()["models"]}
                is_switched = models[OTHER] != "unloaded"
            time.sleep(self.plan.rest_seconds)
            levels = [server.level() for _ in range(_NUM_SAMPLES)]
        level = sorted(levels, key=lambda each: each.resident_bytes)[_NUM_SAMPLES // 2]
        self.measured.append(Measured(round(at, 1), level))
        print(f"{at / MINUTE:6.1f} min, at rest: {level}", flush=True)


def _arguments(models: Sequence[str]) -> tuple[str, ...]:
    first, *others = models
    allowed = [argument for model in others for argument in ("--allow-model", model)]
    limits = ("--memory-limit", "2GB", "--cache-memory", CACHE_SIZE, "--idle-unload", f"{IDLE_SECONDS:.0f}s")
    return ("--model", first, *allowed, *limits)
