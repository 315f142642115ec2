"""A minimal PDF and a plain PNG image, built without a library."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

Json = dict[str, Any]

_PNG = b"\x89PNG\r\n\x1a\n"


def document_block(pdf: bytes) -> Json:
    return _block("document", "application/pdf", pdf)


def image_block(width: int, height: int) -> Json:
    """A grey PNG (ISO/IEC 15948)."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * width) * height
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return _block("image", "image/png", _PNG + b"".join(_chunk(kind, data) for kind, data in parts))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pdf_with_text(text: str, num_pages: int = 1) -> bytes:
    """A PDF with one line of Helvetica on each page (ISO 32000-1, 7.5). The text has letters, digits and spaces."""
    return pdf_that_draws(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode(), num_pages)


def pdf_that_draws(stream: bytes, num_pages: int = 1, *, filter_name: str = "") -> bytes:
    """A PDF whose pages all show one stream, which is packed by a filter if it has a name."""
    packed = f"/Filter /{filter_name} ".encode() if filter_name else b""
    kids = b"3 0 R " * num_pages  # the same page each time, which keeps the file small
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, num_pages),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 200] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d %s>>\nstream\n%s\nendstream" % (len(stream), packed, stream),
    ]
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(body))
    return body + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + end


def _block(kind: str, media_type: str, data: bytes) -> Json:
    source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    return {"type": kind, "source": source}
