"""Users see progress: a bar on a terminal, occasional lines in a log."""

from __future__ import annotations

import io
import time

import pytest
import rich.progress  # noqa: F401 - before a test replaces the clock that it imports

from pensieve.models.files.progress import ConsoleProgress, SilentProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    clock = iter([0.0, 1.0, 6.0, 6.0, 7.0, 12.0, 12.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with ConsoleProgress(log).track("Downloading it", 50_000_000) as report:
        for num_bytes in (1_000_000, 20_000_000, 30_000_000, 60_000_000):
            report(num_bytes)
    assert log.getvalue() == "Downloading it: 50 MB\nDownloading it: 20 of 50 MB\nDownloading it: 50 of 50 MB\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    with ConsoleProgress(terminal).track("Downloading it", 50_000_000) as report:
        report(50_000_000)
    assert "Downloading it" in terminal.getvalue()
    assert "50.0/50.0 MB" in terminal.getvalue()


def test_markup_is_printed_as_it_is() -> None:
    log = io.StringIO()
    ConsoleProgress(log).print("Checking [bold]it[/bold].")
    assert log.getvalue() == "Checking [bold]it[/bold].\n"


def test_silent_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    SilentProgress().print("x")
    with SilentProgress().track("x", 1) as report:
        report(1)
    assert capsys.readouterr() == ("", "")
