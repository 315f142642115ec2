"""The text of a PDF, or a sentence that says why there is none."""

import pytest

from pensieve.api.pdfs.extraction import PROTECTED, UNREADABLE, extract
from tests.api.pdfs.examples import cut_off, encrypted, pdf, shown


def test_the_text_of_all_pages_is_read() -> None:
    assert extract(pdf(shown("Blue"), num_pages=2), 2, 10) == {"text": "Blue\n\nBlue"}


@pytest.mark.parametrize(
    ("data", "refusal", "reason"),
    [
        (pdf(shown("Blue"), num_pages=3), UNREADABLE, "has 3 pages, more than 2"),
        (pdf(shown("Blue " * 30)), UNREADABLE, "has more than 100 characters"),
        (pdf(b"no data", filter_name="JBIG2Decode", packed=False), UNREADABLE, "does not support: send its text"),
        (pdf(b"no data", filter_name="Unheard", packed=False), UNREADABLE, "does not support: send its text"),
        (pdf(b"no data", filter_name="LZWDecode", packed=False), UNREADABLE, "damaged or cut off"),
        (pdf(b" " * 80_000_000), UNREADABLE, "more content than can be read"),
        (cut_off(pdf(shown("Blue")), 400), UNREADABLE, "damaged or cut off"),
        (cut_off(pdf(shown("Blue")), 0), UNREADABLE, "damaged or cut off"),
        (encrypted("RC4-128", "secret"), PROTECTED, "without a password"),
        (encrypted("AES-256", "secret"), PROTECTED, "without a password"),
    ],
    ids=["pages", "characters", "JBIG2", "unknown filter", "damaged", "large page", "cut off", "empty", "RC4", "AES"],
)
def test_a_pdf_that_cannot_be_read_is_refused_with_the_reason(data: str, refusal: str, reason: str) -> None:
    extracted = extract(data, 2, 100)
    assert extracted["refusal"] == refusal
    assert reason in extracted["message"]


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256"])
def test_an_encrypted_pdf_that_opens_without_a_password_is_read(algorithm: str) -> None:
    assert extract(encrypted(algorithm), 2, 100) == {"text": "Blue"}
