"""PDFs with chosen pages and streams (ISO 32000-1, 7.5)."""

from __future__ import annotations

import base64
import io
import zlib

import psutil
import pypdf

from features.harness.scene.media import pdf_with_text

LONG_TEXT = b"BT /F1 10 Tf " + b"(a) Tj " * 1_000_000 + b"ET"
"""One million operators: 10 s of work in 7 kB."""


def pdf(stream: bytes, *, num_pages: int = 1, filter_name: str = "FlateDecode", packed: bool = True) -> str:
    """A PDF in base64 whose pages all show one stream."""
    data = zlib.compress(stream, 9) if packed else stream
    kids = b"5 0 R " * num_pages
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, num_pages),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d /Filter /%s >>\nstream\n%s\nendstream" % (len(data), filter_name.encode(), data),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
        b" /Resources << /Font << /F1 3 0 R >> >> >>",
    ]
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    end = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(body))
    return base64.b64encode(body + head + table + end).decode()


def shown(text: str) -> bytes:
    return f"BT /F1 10 Tf 50 700 Td ({text}) Tj ET".encode()


def encrypted(algorithm: str, password: str = "") -> str:
    """A PDF that says Blue. Without a password it opens by itself (ISO 32000-1, 7.6)."""
    writer, file = pypdf.PdfWriter(io.BytesIO(pdf_with_text("Blue"))), io.BytesIO()
    writer.encrypt(user_password=password, owner_password="owner", algorithm=algorithm)
    writer.write(file)
    return base64.b64encode(file.getvalue()).decode()


def cut_off(data: str, num_bytes: int) -> str:
    return base64.b64encode(base64.b64decode(data)[:num_bytes]).decode()


def running_readers() -> list[psutil.Process]:
    """The processes that read PDFs for this one. They may end at any time."""
    return [child for child in psutil.Process().children() if _is_reader(child)]


def _is_reader(process: psutil.Process) -> bool:
    try:
        return "extraction.py" in " ".join(process.cmdline())
    except psutil.Error:
        return False
