"""The text of each kind of content part. What cannot be read leaves a placeholder, or is refused by name."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from pensieve.api.anthropic.content.documents import PDF, document_text
from pensieve.api.anthropic.content.placeholders import Unreadable, unknown_block, unreadable_image
from pensieve.api.anthropic.wire.blocks import DocumentBlock, DocumentSource
from pensieve.api.openai.messages import FilePart, OtherPart, Part, RefusalPart, TextPart
from pensieve.core.errors import UnreadableContentError


def text_of_part(part: Part, path: str, unreadable: Unreadable) -> str:
    """
    Raises:
        UnreadableContentError: by `unreadable`: an image, a recording, a file without text, or an unknown kind of part.
    """
    match part:
        case TextPart():
            return part.text
        case RefusalPart():
            return part.refusal
        case FilePart():
            document = DocumentBlock(type="document", source=_source(part), title=part.file.filename)
            return document_text(document, path, lambda *_: "", unreadable)
        case OtherPart(type="image_url"):
            return unreadable(unreadable_image(path))
        case OtherPart(type="input_audio"):
            return unreadable(_recording(path))
    return unreadable(_of_unknown_type(part.type, path))


def _source(part: FilePart) -> DocumentSource:
    """The file as the Messages API has it. `file_data` is base64, with or without the head of a data URL."""
    head, comma, data = (part.file.file_data or "").rpartition(",")
    media_type = head.removeprefix("data:").partition(";")[0].lower() if comma else PDF
    if part.file.file_data is None:
        return DocumentSource(type="file", file_id=part.file.file_id)
    if media_type.startswith("text/"):
        return DocumentSource(type="text", data=_text(data, is_base64=head.endswith(";base64")))
    return DocumentSource(type="base64", media_type=media_type, data=data)


def _text(data: str, *, is_base64: bool) -> str | None:
    try:
        content = base64.b64decode(data, validate=True) if is_base64 else unquote_to_bytes(data)
        return content.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _recording(path: str) -> UnreadableContentError:
    message = "this model reads text only: remove the recording, or send its transcript"
    return UnreadableContentError(
        "Could not process audio", path, message, placeholder="[a recording, which this model cannot hear]"
    )


def _of_unknown_type(kind: str, path: str) -> UnreadableContentError:
    message = f"parts of type {kind!r} are not supported: send their text"
    return UnreadableContentError("Could not process part", path, message, placeholder=unknown_block(kind))
