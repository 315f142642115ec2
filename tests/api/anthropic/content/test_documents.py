"""PDFs that cannot be read: the words that clients know, and a placeholder in older messages."""

from __future__ import annotations

import base64
import io

import pypdf
import pytest

from features.harness.scene.media import pdf_with_text
from pensieve.api.anthropic.content.documents import document_text
from pensieve.api.anthropic.content.placeholders import DOCUMENT, refused, replaced
from pensieve.api.anthropic.wire.blocks import DocumentBlock
from pensieve.core.errors import UnreadableContentError


def encrypted(password: str) -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(pdf_with_text("Blue")))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    return written(writer)


def without_text() -> bytes:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(100, 100)
    return written(writer)


def written(writer: pypdf.PdfWriter) -> bytes:
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def block(data: str) -> DocumentBlock:
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    return DocumentBlock.model_validate({"type": "document", "source": source, "title": "Chart"})


def text(pdf: str, unreadable: object = refused) -> str:
    return document_text(block(pdf), "messages.0.content.0", lambda _content, _path: "", unreadable)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pdf", "start"),
    [
        (b"", "PDF cannot be empty: "),
        (b"no PDF", "Could not process PDF: "),
        (pdf_with_text("Blue")[:200], "Could not process PDF: "),
        (without_text(), "Could not process PDF: "),
        (encrypted("secret"), "The PDF specified is password protected: "),
    ],
    ids=["empty", "other data", "cut off", "only images", "password"],
)
def test_an_unreadable_pdf_is_refused_in_the_words_that_clients_know(pdf: bytes, start: str) -> None:
    data = base64.b64encode(pdf).decode()
    with pytest.raises(UnreadableContentError) as caught:
        text(data)
    assert str(caught.value).startswith(f"{start}messages.0.content.0.source.data: ")
    assert caught.value.field == "messages.0.content.0.source.data"
    assert text(data, replaced) == f"<document>\n<title>Chart</title>\n{DOCUMENT}\n</document>"


def test_data_that_is_not_base64_is_refused_as_a_pdf() -> None:
    with pytest.raises(UnreadableContentError, match=r"^Could not process PDF: .*base64"):
        text("no base64 at all")


def test_a_pdf_that_opens_without_a_password_is_read() -> None:
    assert "Blue" in text(base64.b64encode(encrypted("")).decode())
