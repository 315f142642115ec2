"""Long work in Python takes turns, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pensieve.api.http.schemas.thread_turns import TURN_SECONDS, ThreadTurns


class Workers:
    """Threads that each do pieces of work, each of which takes a turn's time."""

    def __init__(self, names: str, num_pieces: int) -> None:
        self.done: list[str] = []
        self.at_once: list[int] = []
        self._now = 0.0
        self._num_at_work = 0
        self._num_pieces = num_pieces
        self._turns = ThreadTurns(lambda: self._now)
        self._all_wait = threading.Event()
        first = threading.Thread(target=self._run, args=(names[0],))
        first.start()
        rest = []
        for name in names[1:]:  # they queue up in this order, behind the first
            rest.append(threading.Thread(target=self._run, args=(name,)))
            number = self._turns.num_waiting
            rest[-1].start()
            while self._turns.num_waiting == number:
                threading.Event().wait(0.001)
        self._all_wait.set()
        for thread in (first, *rest):
            thread.join()

    def _run(self, name: str) -> None:
        self._turns.run(lambda pause: self._work(name, pause))

    def _work(self, name: str, pause: Callable[[], None]) -> None:
        self._all_wait.wait()
        for _ in range(self._num_pieces):
            self._num_at_work += 1
            self.at_once.append(self._num_at_work)
            self.done.append(name)
            self._now += TURN_SECONDS
            self._num_at_work -= 1
            pause()


def test_threads_work_one_at_a_time_turn_by_turn() -> None:
    workers = Workers("abc", 3)
    assert "".join(workers.done) == "abcabcabc"
    assert set(workers.at_once) == {1}


def test_work_goes_on_until_its_turn_is_over() -> None:
    turns = ThreadTurns(lambda: 0.0)
    turns.run(lambda pause: pause())
    assert not turns.num_waiting


def test_an_error_ends_a_turn() -> None:
    turns = ThreadTurns()

    def fail(_: object) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        turns.run(fail)
    assert turns.run(lambda _: 5) == 5
