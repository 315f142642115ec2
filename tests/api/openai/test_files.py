"""Files in the messages of OpenAI's API are read as documents."""

from __future__ import annotations

import base64

import pytest

from features.harness.scene.media import pdf_with_text
from pensieve.core.errors import ValidationError
from tests.api.openai.test_decode import chat


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("data:text/plain;base64,SGk=", "Hi"),
        ("data:text/markdown,%23%20Hi", "# Hi"),
        (f"data:application/pdf;base64,{base64.b64encode(pdf_with_text('Hello')).decode()}", "Hello"),
        (base64.b64encode(pdf_with_text("Hello")).decode(), "Hello"),
    ],
)
def test_the_text_of_a_file_reaches_the_model(data: str, text: str) -> None:
    part = {"type": "file", "file": {"file_data": data, "filename": "a.txt"}}
    (turn,) = chat(messages=[{"role": "user", "content": [part]}]).messages
    assert turn.text == f"<document>\n<title>a.txt</title>\n{text}\n</document>"


@pytest.mark.parametrize(
    ("file", "path", "problem"),
    [
        ({"file_data": ""}, "source.data", "PDF cannot be empty"),
        ({"file_data": "data:application/zip;base64,AAAA"}, "source", "Could not process PDF"),
        ({"file_data": "data:text/plain;base64,/w=="}, "source", "Could not process PDF"),
        ({"file_id": "file-1"}, "source", "Could not process PDF"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(file: dict[str, str], path: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        chat(messages=[{"role": "user", "content": [{"type": "file", "file": file}]}])
    assert caught.value.field == f"messages.0.content.0.{path}"
