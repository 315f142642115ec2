"""Steps about answers that match a schema."""

from __future__ import annotations

import json
from typing import Any, Literal

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Scene
from features.harness.scene.toolbox import SCHEMAS, expect_valid
from features.harness.wire.anthropic_sdk import official_sdk
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.refusals import expect_named
from features.harness.wire.replies import text_of

_REST: dict[str, Any] = {
    "type": "object",
    "properties": {"unit": {"enum": ["celsius", "fahrenheit"]}, "code": {"type": "string", "maxLength": 16}},
    "required": ["unit", "code"],
    "additionalProperties": False,
}
_ODD_CODE = {"type": "string", "maxLength": 16, "pattern": "^(?=.*[0-9])[a-z0-9]*$"}
_COLOURS = ("red", "green", "blue")
_FIELDS: dict[str, Any] = {"colour": (Literal["red", "green", "blue"], ...), "is_certain": (bool, ...)}


@given(parsers.parse('its answer must match the schema "{schema}"'))
def its_answer_must_match(scene: Scene, schema: str) -> None:
    scene.body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMAS[schema]}}


@given(parsers.parse('its answer must match the schema "{schema}", in the field output_format'))
def its_answer_must_match_in_the_older_field(scene: Scene, schema: str) -> None:
    scene.body["output_format"] = {"type": "json_schema", "schema": SCHEMAS[schema]}


@then("its text is JSON that matches the schema")
def its_text_is_json(scene: Scene) -> None:
    message = scene.reply.message()
    expect_equal({block["type"] for block in message["content"]}, {"text"}, "the types of the blocks")
    output = scene.body.get("output_format") or scene.body["output_config"]["format"]
    expect_valid(_parsed(text_of(message)), output["schema"], "the text")


@given("its answer must match a schema with a look-ahead")
def its_answer_must_match_a_look_ahead(scene: Scene) -> None:
    odd = {**_REST, "properties": {**_REST["properties"], "code": _ODD_CODE}}
    scene.body["output_config"] = {"format": {"type": "json_schema", "schema": odd}}


@then(parsers.parse('its text is JSON that matches the rest of the schema, or the error names "{word}"'))
def its_text_matches_the_rest(scene: Scene, word: str) -> None:
    if scene.last.status == 200:
        expect_valid(_parsed(text_of(scene.last.message())), _REST, "the text")
        return
    expect_equal(scene.last.status, 400, "the status")
    expect_named(scene.last, word)


@when("the SDK requests an answer parsed into a class")
def the_sdk_requests_a_parsed_answer(scene: Scene) -> None:
    with official_sdk(scene.client.target) as sdk:
        scene.sdk_message = sdk.messages.parse(
            model=scene.client.model,
            max_tokens=60,
            messages=[{"role": "user", "content": "Which colour is the sky?"}],
            output_format=_answer_class(),
        )


@then("the SDK returns an object of that class")
def the_sdk_returns_an_object(scene: Scene) -> None:
    answer = scene.sdk_message.parsed_output
    expect_that(answer is not None and answer.colour in _COLOURS, f"a colour from {_COLOURS}", answer)
    expect_equal(type(answer.is_certain), bool, "the type of is_certain")


def _answer_class() -> Any:
    """Created on demand: pydantic comes with the SDK, which is an optional dependency."""
    from pydantic import create_model  # noqa: PLC0415 - comes with the SDK

    return create_model("Answer", **_FIELDS)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise AssertionError(f"expected the text to be JSON\n  actual {text!r}") from None
