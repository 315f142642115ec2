"""Steps about the blocks of a request."""

from __future__ import annotations

from typing import Any

from pytest_bdd import given, parsers, then

from features.harness.scene.media import document_block, image_block, pdf_with_text
from features.harness.scene.scene import Json, Scene, with_field
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.refusals import error_in, expect_named
from features.harness.wire.replies import calls_of, prompt_tokens


@given(parsers.parse('its message contains a PDF with the text "{text}"'))
def its_message_contains_a_pdf(scene: Scene, text: str) -> None:
    scene.body = _with_block(scene.body, document_block(pdf_with_text(text)))


@given(parsers.parse("its message contains a PDF of {num_pages:d} pages"))
def its_message_contains_a_long_pdf(scene: Scene, num_pages: int) -> None:
    scene.body = _with_block(scene.body, document_block(pdf_with_text("Blue", num_pages)))


@given(parsers.parse('another request whose message contains a PDF with the text "{text}"'))
def another_request_contains_a_pdf(scene: Scene, text: str) -> None:
    scene.other_body = _with_block(scene.body, document_block(pdf_with_text(text)))


@given(parsers.parse("its message contains an image of {width:d} by {height:d} pixels"))
def its_message_contains_an_image(scene: Scene, width: int, height: int) -> None:
    scene.body = _with_block(scene.body, image_block(width, height))


@given(parsers.parse("another request whose message contains an image of {width:d} by {height:d} pixels"))
def another_request_contains_an_image(scene: Scene, width: int, height: int) -> None:
    scene.other_body = _with_block(scene.body, image_block(width, height))


@given(parsers.parse('it uses the betas "{betas}"'))
def it_uses_the_betas(scene: Scene, betas: str) -> None:
    scene.client.betas = betas


@then("if it is answered, it calls no tool")
def if_it_is_answered_it_calls_no_tool(scene: Scene) -> None:
    if scene.last.status == 200:
        expect_equal(calls_of(scene.last.message()), [], "the calls")


@then(parsers.re(r'the error starts with "(?P<start>[^"]+)"( or "(?P<other>[^"]+)")?$'))
def the_error_starts_with(scene: Scene, start: str, other: str | None) -> None:
    message = error_in(scene.last)["message"]
    starts = [start] if other is None else [start, other]
    expect_that(message.startswith(tuple(starts)), f"error.message to start with {' or '.join(starts)}", message)


@then(parsers.parse('if it is refused, the error names "{word}"'))
def if_it_is_refused_the_error_names(scene: Scene, word: str) -> None:
    if scene.last.status != 200:
        expect_named(scene.last, word)


@then("if it is answered, its prompt is longer than without the image")
def if_it_is_answered_the_image_counts(scene: Scene) -> None:
    if_it_is_answered_the_block_counts(scene, "image")


@then(parsers.parse('if it is answered, its prompt is longer than without blocks of type "{kind}"'))
def if_it_is_answered_the_block_counts(scene: Scene, kind: str) -> None:
    """An answer alone does not show whether the server read the block or dropped it."""
    if scene.last.status == 200:
        blind = scene.client.post(_without(kind, scene.body)).message()
        seen = scene.last.message()
        without, with_image = (prompt_tokens(message["usage"]) for message in (blind, seen))
        expect_that(with_image > without, f"a prompt of more than {without} tokens", with_image)


@then(parsers.parse("the other request's count is larger by at least {number:d}"))
def the_others_count_is_larger_by(scene: Scene, number: int) -> None:
    one, other = (count.message()["input_tokens"] for count in (scene.count, scene.other_count))
    expect_that(other >= one + number, f"the other's count to be {one + number} or more", other)


def _without(kind: str, value: Any) -> Any:
    """A copy of a body, or of part of it, without blocks of this type."""
    if isinstance(value, dict):
        return {name: _without(kind, part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without(kind, part) for part in value if not (isinstance(part, dict) and part.get("type") == kind)]
    return value


def _with_block(body: Json, block: Json) -> Json:
    """The block replaces any earlier one, so that two requests differ only in it."""
    changed = with_field(body, "messages.0.content", "[]")
    changed["messages"][0]["content"] = [block, {"type": "text", "text": "What is it?"}]
    return changed
