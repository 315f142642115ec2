"""Limits what one record may take, whatever a client has sent: errors quote names and values."""

from __future__ import annotations

import logging
import re
from typing import Final

MAX_CHARACTERS: Final = 8_000
"""Of a message, and of a traceback. The stacks of a server's threads are some thousands."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""All control characters but tab and line feed, such as those that recolour or clear a terminal; what else ends a line
for some readers, or reverses its direction; and surrogates, which no file can hold.
"""
_traceback: Final = logging.Formatter()


class BoundedRecords(logging.Filter):
    """A filter that lets every record pass, cut and without control characters."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _bounded(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = _bounded(_traceback.formatException(record.exc_info))
        record.exc_info = None  # a formatter would write it again, as a whole
        return True


def _bounded(text: str) -> str:
    """The end of a traceback says more than its middle."""
    if len(text) > MAX_CHARACTERS:
        half = MAX_CHARACTERS // 2
        text = f"{text[:half]} … {len(text) - MAX_CHARACTERS} characters left out … {text[-half:]}"
    return _CONTROL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
