"""The inbox runs what arrived, and waits a moment for what arrives together."""

from __future__ import annotations

import threading
import time

import pytest

from pensieve.engine.loop import mailbox
from pensieve.engine.loop.mailbox import Mailbox


def test_everything_that_has_arrived_is_run_in_order() -> None:
    box, done = Mailbox(), list[int]()
    for number in range(3):
        box.put(lambda number=number: done.append(number))  # type: ignore[misc]
    box.drain(idle=True)
    assert done == [0, 1, 2]


def test_a_busy_thread_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 600.0)
    box = Mailbox()
    with box.arriving():
        began = time.monotonic()
        box.drain(idle=False)
        assert time.monotonic() - began < mailbox.ARRIVAL_SECONDS / 2


def test_an_idle_thread_waits_for_a_request_that_is_arriving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 600.0)
    box, done = Mailbox(), list[str]()

    def arrive() -> None:
        with box.arriving():
            is_taken_in.set()
            time.sleep(0.1)
        box.put(lambda: done.append("second"))

    is_taken_in = threading.Event()
    second = threading.Thread(target=arrive)
    second.start()
    assert is_taken_in.wait(300)
    box.put(lambda: done.append("first"))
    began = time.monotonic()
    box.drain(idle=True)
    second.join()
    assert done == ["first", "second"]
    assert time.monotonic() - began < 300


@pytest.mark.parametrize(("pause_seconds", "done"), [(5.0, ["first", "second"]), (0.0, ["first"])])
def test_an_idle_thread_pauses_for_a_request_that_begins_to_arrive(
    monkeypatch: pytest.MonkeyPatch, pause_seconds: float, done: list[str]
) -> None:
    """The second one begins while the first is looked at, and is long in coming."""
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 0.5)
    box, taken = Mailbox(pause_seconds), list[str]()

    may_arrive = threading.Event()

    def arrive() -> None:
        may_arrive.wait(300)
        with box.arriving():
            time.sleep(0.1)
        box.put(lambda: taken.append("second"))

    def begin() -> None:
        taken.append("first")
        if pause_seconds:
            may_arrive.set()

    second = threading.Thread(target=arrive)
    box.put(begin)
    second.start()
    box.drain(idle=True)
    assert taken == done
    may_arrive.set()
    second.join()


def test_a_pause_in_which_no_request_arrives_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 600.0)
    box = Mailbox(0.005)
    box.put(lambda: None)
    began = time.monotonic()
    box.drain(idle=True)
    assert time.monotonic() - began < mailbox.ARRIVAL_SECONDS


def test_who_arrives_at_the_end_of_a_pause_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 600.0)
    box, taken = Mailbox(1.0), list[str]()

    def arrive() -> None:
        with box.arriving():
            time.sleep(1.2)
        box.put(lambda: taken.append("second"))

    second = threading.Timer(0.05, arrive)
    second.start()
    box.put(lambda: taken.append("first"))
    box.drain(idle=True)
    second.join()
    assert taken == ["first", "second"]


def test_it_does_not_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "ARRIVAL_SECONDS", 0.05)
    box = Mailbox()
    with box.arriving():
        box.put(lambda: None)
        began = time.monotonic()
        box.drain(idle=True)
        assert time.monotonic() - began > 0.04


def test_what_a_call_raises_is_raised_to_its_caller() -> None:
    box = Mailbox()
    future = box.call(lambda: 1 // 0)
    box.drain(idle=True)
    with pytest.raises(ZeroDivisionError):
        future.result(0)
