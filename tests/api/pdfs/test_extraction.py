"""The text of a PDF, or a sentence that says why there is none."""

import pytest

from pensieve.api.pdfs.extraction import PROTECTED, UNREADABLE, extract
from tests.api.pdfs.examples import encrypted_with_aes, pdf, shown


def test_the_text_of_all_pages_is_read() -> None:
    assert extract(pdf(shown("Blue"), num_pages=2), 2, 10) == {"text": "Blue\n\nBlue"}


@pytest.mark.parametrize(
    ("data", "refusal", "reason"),
    [
        (pdf(shown("Blue"), num_pages=3), UNREADABLE, "has 3 pages, more than 2"),
        (pdf(shown("Blue " * 30)), UNREADABLE, "has more than 100 characters"),
        (pdf(b"no data", filter_name="JBIG2Decode", packed=False), UNREADABLE, "cannot read this PDF"),
        (pdf(b"no data", filter_name="Unheard", packed=False), UNREADABLE, "cannot read this PDF"),
        (encrypted_with_aes(), PROTECTED, "without a password or encryption"),
    ],
    ids=["pages", "characters", "JBIG2", "unknown filter", "AES"],
)
def test_a_pdf_that_cannot_be_read_is_refused_with_the_reason(data: str, refusal: str, reason: str) -> None:
    extracted = extract(data, 2, 100)
    assert extracted["refusal"] == refusal
    assert reason in extracted["message"]
