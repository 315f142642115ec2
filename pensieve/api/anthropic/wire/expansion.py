"""What a request stands for beyond its own bytes: a signature holds thinking, a PDF of a few kilobytes millions of
characters, and each reference to a tool its whole definition.
"""

from __future__ import annotations

from typing import Final

from pensieve.api.http.connections.limits import MAX_BODY_BYTES
from pensieve.core.errors import ValidationError

MAX_CHARACTERS: Final = MAX_BODY_BYTES
"""It counts as if it were sent."""


class Expansion:
    """All of it in one request."""

    def __init__(self) -> None:
        self._characters_left = MAX_CHARACTERS

    def add(self, text: str, field: str) -> str:
        """The text.

        Raises:
            ValidationError: there is more than a body may have.
        """
        self._characters_left -= len(text)
        if self._characters_left < 0:
            limit = MAX_CHARACTERS // 10**6
            raise ValidationError(
                field,
                "the PDFs, tool references and thinking signatures of this request stand for more than "
                f"{limit} MB of text: send fewer of them",
            )
        return text
