"""Steps with OpenAI's Python SDK as the client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Scene
from features.harness.wire.chat import answer_in, answer_in_chunks
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.sdk_faults import answers_accepted_by

if TYPE_CHECKING:
    from openai import OpenAI

_COLOURS = ("red", "green", "blue")
_FIELDS: dict[str, Any] = {"colour": (Literal["red", "green", "blue"], ...), "is_certain": (bool, ...)}


@given("OpenAI's SDK, with strict validation")
def openais_sdk() -> None:
    pytest.importorskip("openai", reason="OpenAI's SDK is not installed: pip install openai")


@when("OpenAI's SDK sends the chat")
def openais_sdk_sends_the_chat(scene: Scene) -> None:
    with _sdk(scene) as sdk:
        scene.sdk_message = sdk.chat.completions.create(**scene.body)


@when("OpenAI's SDK streams the chat")
def openais_sdk_streams_the_chat(scene: Scene) -> None:
    with _sdk(scene) as sdk, sdk.chat.completions.create(**scene.body, stream=True) as stream:
        scene.sdk_other_message = list(stream)


@when("OpenAI's SDK requests an answer parsed into a class")
def openais_sdk_requests_a_parsed_answer(scene: Scene) -> None:
    from pydantic import create_model  # noqa: PLC0415 - comes with the SDK

    answer: Any = create_model("Answer", **_FIELDS)
    with _sdk(scene) as sdk:
        scene.sdk_result = sdk.chat.completions.parse(**{**scene.body, "max_tokens": 60}, response_format=answer)


@when("OpenAI's SDK completes a prompt")
def openais_sdk_completes(scene: Scene) -> None:
    with _sdk(scene) as sdk:
        scene.sdk_result = sdk.completions.create(model=scene.client.model, prompt="Once upon a time", max_tokens=4)


@when("OpenAI's SDK lists the models")
def openais_sdk_lists_the_models(scene: Scene) -> None:
    with _sdk(scene) as sdk:
        listed = [model.id for model in sdk.models.list()]
        scene.sdk_result = [sdk.models.retrieve(model).id for model in listed]


@when("OpenAI's SDK sends the chat and is refused")
def openais_sdk_is_refused(scene: Scene) -> None:
    _take_error(scene)


@when("OpenAI's SDK sends the chat with a wrong key")
def openais_sdk_sends_a_wrong_key(scene: Scene) -> None:
    _take_error(scene, api_key="wrong")


@then("the SDK's chunks add up to the completion")
def the_sdks_chunks_add_up(scene: Scene) -> None:
    chunks = [chunk.model_dump() for chunk in scene.sdk_other_message]
    expect_equal(answer_in_chunks(chunks), answer_in(scene.sdk_message.model_dump()), "what the chunks add up to")


@then("OpenAI's SDK returns an object of that class")
def openais_sdk_returns_an_object(scene: Scene) -> None:
    answer = scene.sdk_result.choices[0].message.parsed
    expect_that(answer is not None and answer.colour in _COLOURS, f"a colour from {_COLOURS}", answer)


@then("OpenAI's SDK returns a text completion")
def openais_sdk_returns_a_text_completion(scene: Scene) -> None:
    completion = scene.sdk_result
    expect_equal((completion.object, type(completion.choices[0].text)), ("text_completion", str), "object and text")


@then(parsers.parse("OpenAI's SDK raised {name}"))
def openais_sdk_raised(scene: Scene, name: str) -> None:
    error = scene.sdk_error
    expect_equal(type(error).__name__, name, "the exception")
    body: Any = getattr(error, "body", None)
    has_form = (
        isinstance(body, dict) and isinstance(body.get("message"), str) and {"type", "param", "code"} <= set(body)
    )
    expect_that(has_form, "message, type, param and code in the exception's body", body)


@contextlib.contextmanager
def _sdk(scene: Scene, api_key: str | None = None) -> Iterator[OpenAI]:
    """The SDK as a client of the server under test. An answer that it cannot read fails the scenario."""
    import openai  # noqa: PLC0415 - an extra, and slow to import

    target = scene.client.target
    with (
        openai.OpenAI(
            base_url=f"{target.url}/v1",
            api_key=api_key or target.api_key or "any",
            max_retries=0,
            _strict_response_validation=True,
        ) as sdk,
        answers_accepted_by("OpenAI's SDK"),
    ):
        yield sdk


def _take_error(scene: Scene, api_key: str | None = None) -> None:
    import openai  # noqa: PLC0415 - an extra, and slow to import

    scene.sdk_error = None
    with _sdk(scene, api_key) as sdk:
        try:
            sdk.chat.completions.create(**scene.body)
        except openai.APIStatusError as error:
            scene.sdk_error = error
