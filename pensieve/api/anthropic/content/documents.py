"""The text of document blocks (W12). PDFs are read with pypdf."""

from __future__ import annotations

import base64
import binascii
import io

from pensieve.api.anthropic.wire.blocks import DocumentBlock, DocumentSource
from pensieve.core.errors import ValidationError

PDF = "application/pdf"


def document_text(block: DocumentBlock, path: str) -> str:
    """The document's text inside `<document>` tags. `path` is that of the block in the request.

    Raises:
        ValidationError: the source is a URL or a file id, or cannot be read.
    """
    text = _source_text(block.source, f"{path}.source")
    fields = [
        f"<{name}>{value}</{name}>" for name, value in (("title", block.title), ("context", block.context)) if value
    ]
    return "\n".join(["<document>", *fields, text, "</document>"])


def _source_text(source: DocumentSource, path: str) -> str:
    match source.type:
        case "text" if source.data is not None:
            return source.data
        case "base64" if source.media_type == PDF and source.data is not None:
            return _pdf_text(source.data, f"{path}.data")
        case "content":
            return _content_text(source.content, f"{path}.content")
        case "text" | "base64":
            raise ValidationError(path, f"data is required: plain text, or base64 with media_type {PDF}")
        case _:
            raise ValidationError(
                path, f"sources of type {source.type!r} are not supported: send the text or the PDF itself"
            )


def _content_text(content: object, path: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValidationError(path, "must be a string or a list of text blocks")
    texts = [block.get("text") for block in content if isinstance(block, dict) and block.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str))


def _pdf_text(data: str, path: str) -> str:
    import pypdf  # noqa: PLC0415 - takes 0.1 s, and few requests need it
    from pypdf.errors import PyPdfError  # noqa: PLC0415

    try:
        reader = pypdf.PdfReader(io.BytesIO(base64.b64decode(data, validate=True)))
        return "\n\n".join(page.extract_text() for page in reader.pages)
    except binascii.Error:
        raise ValidationError(path, "is not valid base64") from None
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError) as error:
        raise ValidationError(path, f"cannot read this PDF: {type(error).__name__}") from None
