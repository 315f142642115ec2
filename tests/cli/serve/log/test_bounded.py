"""No client can fill the log with one request, or make it say what did not happen."""

import json
import logging
import os
import select

from pensieve.cli.serve.log.bounded import MAX_CHARACTERS, BoundedRecords
from pensieve.cli.serve.log.unblocked_stream import UnblockedStream


def bounded(message: str, error: Exception | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, None) if error is not None else None
    record = logging.LogRecord("pensieve", logging.WARNING, "", 0, "%s", (message,), exc_info)
    assert BoundedRecords().filter(record)
    return record


def test_a_long_message_is_cut_in_the_middle() -> None:
    text = bounded("begin " + 10**6 * "x" + " end").getMessage()
    assert len(text) < MAX_CHARACTERS + 100
    assert text.startswith("begin x")
    assert text.endswith("x end")


def test_a_traceback_is_cut_too() -> None:
    record = bounded("failed", ValueError(10**6 * "x"))
    assert record.exc_text is not None
    assert len(logging.Formatter().format(record)) < 2 * MAX_CHARACTERS


def test_control_characters_are_escaped() -> None:
    assert bounded("a\x1b[2J\r\x07b\tc\nd").getMessage() == "a\\x1b[2J\\x0d\\x07b\tc\nd"
    assert bounded("a\u2028b\u202ec\ud800").getMessage() == "a\\u2028b\\u202ec\\ud800"


def test_a_full_pipe_does_not_stop_the_writer_and_its_gap_is_counted() -> None:
    reader, writer = os.pipe()
    stream = UnblockedStream(writer)
    line = json.dumps({"message": 200 * "x"}) + "\n"
    while select.select([], [writer], [], 0)[1]:
        stream.write(line)
    for _ in range(3):
        stream.write(line)
    os.read(reader, 10**6)
    stream.write("the next\n")
    assert os.read(reader, 10**6).decode() == "(3 lines are missing here)\nthe next\n"
    os.close(reader)
    stream.write("without a reader\n")
    os.close(writer)


def test_a_line_that_was_broken_off_is_ended_before_the_next() -> None:
    reader, writer = os.pipe()
    stream = UnblockedStream(writer)
    stream.write(10**6 * "x" + "\n")
    os.read(reader, 10**7)
    stream.write("the next\n")
    assert os.read(reader, 10**6).decode() == "\n(1 lines are missing here)\nthe next\n"
    os.close(reader)
    os.close(writer)


def test_a_terminal_that_stands_still_does_not_stop_the_writer() -> None:
    reader, writer = os.openpty()
    stream = UnblockedStream(writer)
    while not stream.num_lost:
        stream.write(300 * "x" + "\n")
    stream.close()
    os.close(reader)
    os.close(writer)
