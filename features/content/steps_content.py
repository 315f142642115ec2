"""Steps about documents and images in a request."""

from __future__ import annotations

from typing import Any

from pytest_bdd import given, parsers, then

from features.harness.scene.media import document_block, image_block, pdf_with_text
from features.harness.scene.scene import Json, Scene, with_field
from features.harness.wire.expectations import expect_that
from features.harness.wire.refusals import expect_named
from features.harness.wire.replies import prompt_tokens


@given(parsers.parse('its message contains a PDF with the text "{text}"'))
def its_message_contains_a_pdf(scene: Scene, text: str) -> None:
    scene.body = _with_block(scene.body, document_block(pdf_with_text(text)))


@given(parsers.parse('another request whose message contains a PDF with the text "{text}"'))
def another_request_contains_a_pdf(scene: Scene, text: str) -> None:
    scene.other_body = _with_block(scene.body, document_block(pdf_with_text(text)))


@given(parsers.parse("its message contains an image of {width:d} by {height:d} pixels"))
def its_message_contains_an_image(scene: Scene, width: int, height: int) -> None:
    scene.body = _with_block(scene.body, image_block(width, height))


@given(parsers.parse("another request whose message contains an image of {width:d} by {height:d} pixels"))
def another_request_contains_an_image(scene: Scene, width: int, height: int) -> None:
    scene.other_body = _with_block(scene.body, image_block(width, height))


@then(parsers.parse('if it is refused, the error names "{word}"'))
def if_it_is_refused_the_error_names(scene: Scene, word: str) -> None:
    if scene.last.status != 200:
        expect_named(scene.last, word)


@then("if it is answered, its prompt is longer than without the image")
def if_it_is_answered_the_image_counts(scene: Scene) -> None:
    """An answer alone does not show whether the server saw the image or dropped it."""
    if scene.last.status == 200:
        blind = scene.client.post(_without_images(scene.body)).message()
        seen = scene.last.message()
        without, with_image = (prompt_tokens(message["usage"]) for message in (blind, seen))
        expect_that(with_image > without, f"a prompt of more than {without} tokens", with_image)


@then(parsers.parse("the other request's count is larger by at least {number:d}"))
def the_others_count_is_larger_by(scene: Scene, number: int) -> None:
    one, other = (count.message()["input_tokens"] for count in (scene.count, scene.other_count))
    expect_that(other >= one + number, f"the other's count to be {one + number} or more", other)


def _without_images(value: Any) -> Any:
    """A copy of a body, or of part of it, without image blocks."""
    if isinstance(value, dict):
        return {name: _without_images(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_images(part) for part in value if not (isinstance(part, dict) and part.get("type") == "image")]
    return value


def _with_block(body: Json, block: Json) -> Json:
    """The block replaces any earlier one, so that two requests differ only in it."""
    changed = with_field(body, "messages.0.content", "[]")
    changed["messages"][0]["content"] = [block, {"type": "text", "text": "What is it?"}]
    return changed
