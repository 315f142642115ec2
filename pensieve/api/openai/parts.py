"""The text of each kind of content part. What cannot be read leaves a placeholder, or is refused by name."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from pensieve.api.anthropic.content.documents import PDF, document_text
from pensieve.api.anthropic.content.placeholders import Unreadable, unknown_block, unreadable_image
from pensieve.api.anthropic.wire.blocks import DocumentBlock, DocumentSource
from pensieve.api.anthropic.wire.expansion import Expansion
from pensieve.api.openai.messages import FilePart, OtherPart, Part, RefusalPart, TextPart
from pensieve.core.errors import UnreadableContentError


class PartReader:
    """`unreadable` decides about what the model cannot read."""

    def __init__(self, unreadable: Unreadable, expansion: Expansion) -> None:
        self._unreadable = unreadable
        self._expansion = expansion

    def text(self, part: Part, path: str) -> str:
        """
        Raises:
            UnreadableContentError: by `unreadable`: an image, a recording, a file without text, or an unknown kind of
                part.
            ValidationError: the files of the request stand for too much text.
        """
        match part:
            case TextPart():
                return part.text
            case RefusalPart():
                return part.refusal
            case FilePart():
                document = DocumentBlock(type="document", source=_source(part), title=part.file.filename)
                text = document_text(document, path, lambda *_: "", self._unreadable)
                return self._expansion.add(text, f"{path}.file.file_data")
            case OtherPart(type="image_url"):
                return self._unreadable(unreadable_image(path))
            case OtherPart(type="input_audio"):
                return self._unreadable(_recording(path))
        return self._unreadable(_of_unknown_type(part.type, path))


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
