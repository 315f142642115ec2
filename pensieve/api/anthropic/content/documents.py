"""The text of document blocks (W12)."""

from __future__ import annotations

import base64
from collections.abc import Callable

from pensieve.api.anthropic.content.placeholders import (
    DOCUMENT,
    MAX_NAME_CHARS,
    PDF_IS_EMPTY,
    PDF_IS_PROTECTED,
    PDF_NOT_PROCESSED,
    Unreadable,
)
from pensieve.api.anthropic.content.tagged import tagged
from pensieve.api.anthropic.wire.blocks import Content, DocumentBlock, DocumentSource
from pensieve.api.pdfs.extraction import PROTECTED
from pensieve.api.pdfs.reading import pdf_extract
from pensieve.core.errors import UnreadableContentError

PDF = "application/pdf"

TextOfContent = Callable[[Content, str], str]
"""The text of content at a path of the request."""


def document_text(block: DocumentBlock, path: str, text_of: TextOfContent, unreadable: Unreadable) -> str:
    """The document's text inside `<document>` tags. `path` is that of the block in the request.

    Raises:
        UnreadableContentError: by `unreadable`: the source is a URL or a file id, or cannot be read.
    """
    fields = [tagged(name, value) for name, value in (("title", block.title), ("context", block.context)) if value]
    try:
        text = _source_text(block.source, f"{path}.source", text_of)
    except UnreadableContentError as error:
        text = unreadable(error)
    return "\n".join(["<document>", *fields, text, "</document>"])


def _source_text(source: DocumentSource, path: str, text_of: TextOfContent) -> str:
    match source.type:
        case "text" if source.data is not None:
            return source.data
        case "base64" if source.media_type == PDF and source.data is not None:
            return _pdf_text(source.data, f"{path}.data")
        case "content" if source.content is not None:
            return text_of(source.content, f"{path}.content")
        case "text" | "base64":
            raise _unreadable(PDF_NOT_PROCESSED, path, f"data is required: plain text, or base64 with media_type {PDF}")
        case "content":
            raise _unreadable(PDF_NOT_PROCESSED, path, "content is required: a string or a list of blocks")
        case _:
            place = (source.url or source.file_id or "")[:MAX_NAME_CHARS]
            raise UnreadableContentError(
                PDF_NOT_PROCESSED,
                path,
                f"sources of type {source.type!r} are not supported: send the text or the PDF itself",
                placeholder=f"[the document {place}, which this model cannot read]" if place else DOCUMENT,
            )


def _pdf_text(data: str, path: str) -> str:
    if not data:
        raise _unreadable(PDF_IS_EMPTY, path, "it has no bytes")
    try:
        base64.b64decode(data, validate=True)
    except ValueError:
        raise _unreadable(PDF_NOT_PROCESSED, path, "is not valid base64") from None
    extract = pdf_extract(data)
    if extract is None:
        return ""  # this result is not used: the request is decoded again after its PDFs are read
    if "refusal" in extract:
        opening = PDF_IS_PROTECTED if extract["refusal"] == PROTECTED else PDF_NOT_PROCESSED
        raise _unreadable(opening, path, extract["message"])
    return extract["text"]


def _unreadable(opening: str, path: str, message: str) -> UnreadableContentError:
    return UnreadableContentError(opening, path, message, placeholder=DOCUMENT)
