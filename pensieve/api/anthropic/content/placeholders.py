"""What stands in a prompt for content that the model cannot read.

It depends on the content alone, so that a message is rendered the same in every turn (C1).
"""

from __future__ import annotations

from collections.abc import Callable

from pensieve.core.errors import UnreadableContentError

Unreadable = Callable[[UnreadableContentError], str]
"""What becomes of unreadable content: the text in its place, or the error itself."""

IMAGE_NOT_PROCESSED = "Could not process image"
PDF_NOT_PROCESSED = "Could not process PDF"
PDF_IS_PROTECTED = "The PDF specified is password protected"
PDF_IS_EMPTY = "PDF cannot be empty"

IMAGE_REFUSED = "this model reads text only: remove the image, or describe it"
IMAGE = "[an image, which this model cannot see]"
DOCUMENT = "[a document, which this model cannot read]"
REDACTED_THINKING = "[thinking that is encrypted, and that this model cannot read]"
ENCRYPTED = "[encrypted, and not readable for this model]"
NO_CONTENT = "[no content]"
NOT_RUN = "[this tool did not run: there is no result]"

MAX_NAME_CHARS = 200
"""Of a name or an address that a placeholder repeats."""


def refused(error: UnreadableContentError) -> str:
    """For the newest message: an answer about something that the model never saw would be made up."""
    raise error


def replaced(error: UnreadableContentError) -> str:
    """For older messages and results, which stay in the conversation: one refusal would end it."""
    return error.placeholder


def unreadable_image(path: str) -> UnreadableContentError:
    return UnreadableContentError(IMAGE_NOT_PROCESSED, path, IMAGE_REFUSED, placeholder=IMAGE)


def unknown_block(kind: str) -> str:
    return f"[a block of type {kind[:MAX_NAME_CHARS]}, which this model cannot read]"


def unreadable_upload(file_id: str, path: str) -> UnreadableContentError:
    return UnreadableContentError(
        "Could not process file",
        path,
        "files cannot be uploaded to a container: send the text of the file",
        placeholder=f"[the file {file_id[:MAX_NAME_CHARS]} in a container, which this model cannot read]",
    )
