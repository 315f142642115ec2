"""Steps about refusals."""

from __future__ import annotations

import re

from pytest_bdd import parsers, then

from features.harness.scene.scene import Scene, count_request
from features.harness.wire.client import COUNT_TOKENS
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.refusals import error_in, expect_named

_TOO_LONG = re.compile(r"prompt is too long: (\d+) tokens > (\d+) maximum")


@then(parsers.parse('it is refused as "{kind}" with status {status:d}'))
def it_is_refused(scene: Scene, kind: str, status: int) -> None:
    expect_equal(scene.last.status, status, "the status")
    expect_equal(error_in(scene.last)["type"], kind, "error.type")


@then(parsers.parse("it is refused with status {status:d}"))
def it_is_refused_with_status(scene: Scene, status: int) -> None:
    expect_equal(scene.last.status, status, "the status")
    expect_that(error_in(scene.last)["message"], "a message", scene.last.json())


@then(parsers.parse('it is answered, or refused as "{kind}"'))
def it_is_answered_or_refused(scene: Scene, kind: str) -> None:
    expect_that(scene.last.status in (200, 400), "the status to be 200 or 400", scene.last.status)
    if scene.last.status == 400:
        expect_equal(error_in(scene.last)["type"], kind, "error.type")


@then(parsers.parse('the error names "{word}"'))
def the_error_names(scene: Scene, word: str) -> None:
    expect_named(scene.last, word)


@then(parsers.parse('its content is a compaction, or the error names "{word}"'))
def its_content_is_a_compaction_or_refused(scene: Scene, word: str) -> None:
    if scene.last.status == 200:
        expect_equal(
            [block["type"] for block in scene.last.message()["content"]], ["compaction"], "the content's types"
        )
    else:
        expect_equal(scene.last.status, 400, "the status")
        expect_named(scene.last, word)


@then(parsers.parse('it has "{field}", or the error names "{word}"'))
def it_has_a_field_or_is_refused(scene: Scene, field: str, word: str) -> None:
    if scene.last.status == 200:
        expect_that(field in scene.last.message(), f"a field {field}", sorted(scene.last.message()))
    else:
        expect_equal(scene.last.status, 400, "the status")
        expect_named(scene.last, word)


@then(parsers.parse('its usage has a speed, or the error says "{words}" or "{other}"'))
def its_usage_has_a_speed_or_it_is_refused(scene: Scene, words: str, other: str) -> None:
    if scene.last.status == 200:
        usage = scene.last.message()["usage"]
        expect_that(usage.get("speed") in ("standard", "fast"), "a speed in the usage", usage)
    else:
        expect_equal(scene.last.status, 400, "the status")
        message = error_in(scene.last)["message"]
        expect_that(words in message or other in message, f"error.message to say {words!r} or {other!r}", message)


@then("the error is well formed and has the request_id of its header")
def the_error_has_its_form(scene: Scene) -> None:
    error_in(scene.last)
    header = scene.last.headers.get("request-id")
    expect_that(header, "a header request-id", dict(scene.last.headers))
    expect_equal(scene.last.json().get("request_id"), header, "request_id in the body")


@then('the error says "prompt is too long: N tokens > M maximum"')
def the_error_says_prompt_is_too_long(scene: Scene) -> None:
    num_tokens, maximum = _too_long(scene)
    expect_that(num_tokens > maximum, f"N to be over {maximum}", num_tokens)


@then("N is the prompt's token count")
def n_is_the_prompts_token_count(scene: Scene) -> None:
    num_tokens, _ = _too_long(scene)
    count = scene.client.post(count_request(scene.body), COUNT_TOKENS)
    expect_equal(num_tokens, count.json().get("input_tokens"), "N")


def _too_long(scene: Scene) -> tuple[int, int]:
    message = error_in(scene.last)["message"]
    match = _TOO_LONG.fullmatch(message)
    expect_that(match, 'error.message to say "prompt is too long: N tokens > M maximum" and nothing else', message)
    return (int(match[1]), int(match[2])) if match else (0, 0)
