"""The mailbox runs what has arrived, and waits briefly for requests that arrive together."""

from __future__ import annotations

import threading
import time

import pytest

from pensieve.engine.loop import mailbox
from pensieve.engine.loop.mailbox import Mailbox


def test_everything_that_has_arrived_runs_in_order() -> None:
    box, done = Mailbox(), list[int]()
    for number in range(3):
        box.put(lambda number=number: done.append(number))  # type: ignore[misc]
    box.drain(idle=True)
    assert done == [0, 1, 2]


def test_a_busy_thread_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 600.0)
    box = Mailbox()
    with box.arriving():
        began = time.monotonic()
        box.drain(idle=False)
        assert time.monotonic() - began < mailbox.ARRIVAL_SECONDS / 2


def test_an_idle_thread_waits_for_a_request_being_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 600.0)
    box, done = Mailbox(), list[str]()

    def arrive() -> None:
        with box.arriving():
            is_arriving.set()
            time.sleep(0.1)
        box.put(lambda: done.append("second"))

    is_arriving = threading.Event()
    second = threading.Thread(target=arrive)
    second.start()
    assert is_arriving.wait(300)
    box.put(lambda: done.append("first"))
    began = time.monotonic()
    box.drain(idle=True)
    second.join()
    assert done == ["first", "second"]
    assert time.monotonic() - began < 300


class Deadline:
    """A clock that reaches every deadline once `is_over` is set."""

    def __init__(self) -> None:
        self.is_over = False

    def monotonic(self) -> float:
        return 1e6 if self.is_over else 0.0


@pytest.mark.parametrize(("pause_seconds", "expected"), [(600.0, ["first", "second"]), (0.0, ["first"])])
def test_an_idle_thread_pauses_for_a_request_that_starts_arriving(
    monkeypatch: pytest.MonkeyPatch, pause_seconds: float, expected: list[str]
) -> None:
    """The second request starts arriving after the first has run, and takes a while."""
    clock = Deadline()
    monkeypatch.setattr(mailbox, "time", clock)
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 600.0)
    box, done = Mailbox(pause_seconds), list[str]()
    may_arrive = threading.Event()

    def end() -> None:
        done.append("second")
        clock.is_over = True

    def arrive() -> None:
        may_arrive.wait(300)
        with box.arriving():
            time.sleep(0.1)
        box.put(end)

    def begin() -> None:
        done.append("first")
        if pause_seconds:
            may_arrive.set()

    second = threading.Thread(target=arrive)
    box.put(begin)
    second.start()
    box.drain(idle=True)
    assert done == expected
    may_arrive.set()
    second.join()


def test_a_pause_without_arrivals_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 600.0)
    box = Mailbox(0.005)
    box.put(lambda: None)
    began = time.monotonic()
    box.drain(idle=True)
    assert time.monotonic() - began < mailbox.ARRIVAL_SECONDS


def test_a_request_that_starts_arriving_late_in_a_pause_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 600.0)
    box, done = Mailbox(3.0), list[str]()

    def arrive() -> None:
        with box.arriving():
            time.sleep(3.2)
        box.put(lambda: done.append("second"))

    second = threading.Timer(0.05, arrive)
    second.start()
    box.put(lambda: done.append("first"))
    box.drain(idle=True)
    second.join()
    assert done == ["first", "second"]


def test_the_wait_for_an_arriving_request_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 0.05)
    box = Mailbox()
    with box.arriving():
        box.put(lambda: None)
        began = time.monotonic()
        box.drain(idle=True)
        assert time.monotonic() - began > 0.04


def test_an_exception_in_a_call_reaches_its_caller() -> None:
    box = Mailbox()
    future = box.call(lambda: 1 // 0)
    box.drain(idle=True)
    with pytest.raises(ZeroDivisionError):
        future.result(0)
