"""Text on a terminal, JSON elsewhere, and a file of limited size."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pensieve.cli.serve.log.setup import LogFile, LogFormat, log_handlers, terminal
from pensieve.cli.serve.log.unblocked_stream import UnblockedStream
from pensieve.core.errors import ValidationError

FIELDS = {"status": 200, "model": "coder", "details": " model=coder"}


@contextmanager
def logger(fd: int, chosen: LogFormat | None = None, file: Path | None = None) -> Iterator[logging.Logger]:
    """A logger of its own, so that pytest's handlers stay."""
    stream = UnblockedStream(fd)
    handlers = log_handlers(stream, terminal(stream, chosen), chosen or "json", file)
    made = logging.Logger("pensieve.test", logging.INFO)
    for handler in handlers:
        made.addHandler(handler)
    try:
        yield made
    finally:
        for handler in handlers:
            handler.close()


@contextmanager
def written(*, to_terminal: bool) -> Iterator[tuple[int, io.BytesIO]]:
    """A descriptor, and what was written to it once the block has ended."""
    reader, writer = os.openpty() if to_terminal else os.pipe()
    found = io.BytesIO()
    try:
        yield writer, found
        found.write(os.read(reader, 100_000))
    finally:
        os.close(reader)
        os.close(writer)


def test_elsewhere_each_line_is_a_json_object_with_the_fields_of_a_request() -> None:
    with written(to_terminal=False) as (fd, output), logger(fd) as log:
        log.info("POST /v1/messages", extra=FIELDS)
        log.error("it %s", "failed", exc_info=ValueError("why"))
    first, second = map(json.loads, output.getvalue().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "INFO",
        "logger": "pensieve.test",
        "message": "POST /v1/messages",
        "status": 200,
        "model": "coder",
    }
    assert (second["level"], second["message"]) == ("ERROR", "it failed")
    assert second["exc_info"].endswith("ValueError: why")


def test_a_terminal_gets_text_with_the_same_fields() -> None:
    with written(to_terminal=True) as (fd, output), logger(fd) as log:
        log.info("POST /v1/messages", extra=FIELDS)
    text = output.getvalue().decode()
    assert "POST" in text
    assert "coder" in text
    assert "{" not in text


def test_no_line_end_in_what_a_client_sent_begins_a_record(tmp_path: Path) -> None:
    forged = "2026-01-01 00:00:00,000 INFO pensieve.requests: POST /v1/messages 200"
    with written(to_terminal=False) as (fd, output), logger(fd, "text") as log:
        for end in ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1e", "\x85", "\u2028"):
            log.warning("unknown type %r%s%s", "x", end, forged)
        log.error("it failed", exc_info=ValueError(f"why\n{forged}"))
    records = [line for line in output.getvalue().decode().splitlines() if not line.startswith("    ")]
    assert len(records) == 9
    assert forged not in records


def test_a_surrogate_reaches_a_file(tmp_path: Path) -> None:
    with written(to_terminal=False) as (fd, _), logger(fd, file=tmp_path / "log") as log:
        log.warning("unknown type %s", "\ud800")
    assert json.loads((tmp_path / "log").read_text(encoding="utf-8"))["message"] == "unknown type \\ud800"


@pytest.mark.parametrize(("chosen", "is_json"), [("json", True), ("text", False)])
def test_the_format_can_be_chosen(chosen: LogFormat, *, is_json: bool) -> None:
    for to_terminal in (True, False):
        with written(to_terminal=to_terminal) as (fd, output), logger(fd, chosen) as log:
            log.info("POST /v1/messages", extra=FIELDS)
        assert output.getvalue().startswith(b"{") == is_json
        assert b"coder" in output.getvalue()


def test_a_file_is_rotated_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pensieve.cli.serve.log.setup.MAX_FILE_BYTES", 1000)
    with written(to_terminal=False) as (fd, _), logger(fd, file=tmp_path / "logs" / "pensieve.log") as log:
        for number in range(100):
            log.info("line %d", number)
    files = list((tmp_path / "logs").iterdir())
    assert len(files) == 1 + 5
    assert all(file.stat().st_size <= 1000 for file in files)
    assert json.loads((tmp_path / "logs" / "pensieve.log").read_text().splitlines()[-1])["message"] == "line 99"


def test_the_log_goes_on_in_a_new_file_after_another_program_took_the_old_one_away(tmp_path: Path) -> None:
    path = tmp_path / "pensieve.log"
    with written(to_terminal=False) as (fd, _), logger(fd, file=path) as log:
        log.info("first")
        path.rename(tmp_path / "moved.log")
        log.info("second")
        path.unlink()
        log.info("third")
    assert json.loads((tmp_path / "moved.log").read_text())["message"] == "first"
    assert json.loads(path.read_text())["message"] == "third"


def test_a_file_that_cannot_be_written_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=rf"--log-file: {tmp_path} cannot be written: Is a directory"):
        log_handlers(UnblockedStream(2), None, "json", tmp_path)


def test_a_file_that_can_no_longer_be_written_costs_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = LogFile(folder / "pensieve.log", maxBytes=1)
    log = logging.Logger("pensieve.test")
    log.addHandler(handler)
    shutil.rmtree(folder)
    for _ in range(3):
        log.error("x")
    handler.close()
    error = capfd.readouterr().err
    assert error.startswith(f"pensieve: {folder}/pensieve.log has gaps, since it cannot be written: ")
    assert error.count("\n") == 1
