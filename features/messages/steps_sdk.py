"""Steps with Anthropic's Python SDK as the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Scene, expect_same_answer
from features.harness.wire.anthropic_sdk import official_sdk
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import text_of

if TYPE_CHECKING:
    from anthropic import Anthropic

_QUESTION = "Say hello to the world."


@given("the official SDK, with strict validation")
def the_official_sdk() -> None:
    pytest.importorskip("anthropic", reason="the official SDK is not installed: pip install anthropic")


@when("the SDK creates a message")
def the_sdk_creates_a_message(scene: Scene) -> None:
    with official_sdk(scene.client.target) as sdk:
        scene.sdk_message = sdk.messages.create(**_message(scene))


@when("the SDK streams a message")
def the_sdk_streams_a_message(scene: Scene) -> None:
    scene.sdk_message = _streamed(scene)


@when("the SDK streams the same message")
def the_sdk_streams_the_same_message(scene: Scene) -> None:
    scene.sdk_other_message = _streamed(scene)


@when("the SDK counts its tokens")
def the_sdk_counts_its_tokens(scene: Scene) -> None:
    request = _message(scene)
    with official_sdk(scene.client.target) as sdk:
        scene.sdk_result = sdk.messages.count_tokens(model=request["model"], messages=request["messages"])


@when("the SDK lists the models")
def the_sdk_lists_the_models(scene: Scene) -> None:
    with official_sdk(scene.client.target) as sdk:
        scene.sdk_result = [model.id for model in sdk.models.list(limit=1000)]


@when("the SDK retrieves the model")
def the_sdk_retrieves_the_model(scene: Scene) -> None:
    with official_sdk(scene.client.target) as sdk:
        scene.sdk_result = sdk.models.retrieve(scene.client.model)


@when(parsers.parse("the SDK sends a max_tokens of {number:d}"))
def the_sdk_sends_max_tokens(scene: Scene, number: int) -> None:
    _take_error(scene, lambda sdk: sdk.messages.create(**{**_message(scene), "max_tokens": number}))


@when("the SDK requests an unknown model")
def the_sdk_requests_an_unknown_model(scene: Scene) -> None:
    _take_error(scene, lambda sdk: sdk.messages.create(**{**_message(scene), "model": "no-such-model-as-this"}))


@when("the SDK sends a wrong key")
def the_sdk_sends_a_wrong_key(scene: Scene) -> None:
    _take_error(scene, lambda sdk: sdk.messages.create(**_message(scene)), api_key="wrong")


@then("the SDK returns a complete message")
def the_sdk_returns_a_complete_message(scene: Scene) -> None:
    message = scene.sdk_message
    expect_equal(type(message).__name__.removeprefix("Parsed").partition("[")[0], "Message", "the type of the result")
    expect_equal(message.role, "assistant", "role")
    expect_that(message.stop_reason is not None, "a stop_reason", message)
    expect_that(message.content, "content", message)


@then("the SDK's two messages match")
def the_sdks_two_messages_match(scene: Scene) -> None:
    expect_same_answer(scene.sdk_message.model_dump(), scene.sdk_other_message.model_dump())


@then("the SDK's count equals the message's usage")
def the_sdks_count_equals_the_messages_usage(scene: Scene) -> None:
    usage = scene.sdk_message.usage
    used = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    expect_equal(scene.sdk_result.input_tokens, used, "the count")


@then("the model under test is one of them")
def the_model_under_test_is_one_of_them(scene: Scene) -> None:
    expect_that(scene.client.model in scene.sdk_result, f"{scene.client.model} among them", scene.sdk_result)


@then("the SDK returns the model under test")
def the_sdk_returns_the_model_under_test(scene: Scene) -> None:
    expect_equal(scene.sdk_result.id, scene.client.model, "id")


@then("the SDK's types accept every event except ping")
def the_sdks_types_accept_every_event(scene: Scene) -> None:
    from anthropic.types import RawMessageStreamEvent  # noqa: PLC0415 - an extra, and slow to import
    from pydantic import TypeAdapter  # noqa: PLC0415 - comes with the SDK

    events = [event for event in scene.stream.objects() if event.get("type") != "ping"]
    adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    parsed = [adapter.validate_python(event) for event in events]
    expect_equal([event.type for event in parsed], [event["type"] for event in events], "the events")


@then(parsers.parse('the SDK raised {name} with the type "{kind}"'))
def the_sdk_raised(scene: Scene, name: str, kind: str) -> None:
    error = scene.sdk_error
    expect_equal(type(error).__name__, name, "the exception")
    body: Any = getattr(error, "body", None)
    expect_that(
        isinstance(body, dict) and isinstance(body.get("error"), dict), "the error in the exception's body", body
    )
    expect_equal(body["error"].get("type"), kind, "error.type")
    request_id = getattr(error, "request_id", None)
    expect_that(request_id and request_id == body.get("request_id"), "the request id in the exception", request_id)


def _message(scene: Scene) -> dict[str, Any]:
    return {
        "model": scene.client.model,
        "max_tokens": 8,
        "messages": [{"role": "user", "content": _QUESTION}],
        "extra_body": {"temperature": 0},  # the SDK's newest types lack temperature; the API has it
    }


def _streamed(scene: Scene) -> object:
    with official_sdk(scene.client.target) as sdk, sdk.messages.stream(**_message(scene)) as stream:
        message = stream.get_final_message()
        expect_equal(stream.get_final_text(), text_of(message.model_dump()), "the final text")
        return message


def _take_error(scene: Scene, call: Callable[[Anthropic], object], api_key: str | None = None) -> None:
    import anthropic  # noqa: PLC0415 - an extra, and slow to import

    scene.sdk_error = None
    with official_sdk(scene.client.target, api_key) as sdk:
        try:
            call(sdk)
        except anthropic.APIStatusError as error:
            scene.sdk_error = error
