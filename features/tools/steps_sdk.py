"""Steps with tools in Anthropic's Python SDK."""

from __future__ import annotations

import json
from typing import Any

from pytest_bdd import parsers, then, when

from features.harness.scene.scene import Json, Scene
from features.harness.scene.toolbox import SCHEMAS, expect_calls_of_offered_tools, expect_valid, tool
from features.harness.wire.anthropic_sdk import official_sdk
from features.harness.wire.expectations import expect_equal, expect_that

_NAME, _SCHEMA = "get_weather", "bounded"
_RESULT = "21 degrees in Oslo"
_ONE_CALL = {"type": "any", "disable_parallel_tool_use": True}


@when("the SDK forces a tool call")
def the_sdk_forces_a_tool_call(scene: Scene) -> None:
    with official_sdk(scene.client.target) as sdk:
        scene.sdk_message = sdk.messages.create(**_request(scene))


@when("the SDK streams the same call")
def the_sdk_streams_the_same_call(scene: Scene) -> None:
    with official_sdk(scene.client.target) as sdk, sdk.messages.stream(**_request(scene)) as stream:
        scene.sdk_other_message = stream.get_final_message()


@then("the SDK returns a call that matches its tool's schema")
def the_sdk_returns_a_call(scene: Scene) -> None:
    message = scene.sdk_message.model_dump()
    expect_equal(message["stop_reason"], "tool_use", "stop_reason")
    expect_calls_of_offered_tools(message, _request(scene))


@when(parsers.parse('the SDK\'s tool runner is given "{text}"'))
def the_tool_runner_is_given(scene: Scene, text: str) -> None:
    _run(scene, text)


@when("the SDK's tool runner runs two turns with a forced call")
def the_tool_runner_runs_two_turns(scene: Scene) -> None:
    _run(scene, "How is the weather in Oslo?", max_iterations=2, tool_choice=_ONE_CALL)


@then(parsers.parse("its function was called with {literal}"))
def its_function_was_called_with(scene: Scene, literal: str) -> None:
    if literal == "input that matches its schema":
        expect_that(scene.sdk_result, "a call of the function", scene.sdk_result)
        for given_input in scene.sdk_result:
            expect_valid(given_input, SCHEMAS[_SCHEMA], "the function's input")
    else:
        expect_equal(scene.sdk_result, [json.loads(literal)], "the function's inputs")


@then("it ended with a text answer")
def it_ended_with_text(scene: Scene) -> None:
    blocks = [block.type for block in scene.sdk_message.content]
    expect_equal(
        (blocks, scene.sdk_message.stop_reason), (["text"], "end_turn"), "the last message's blocks and reason"
    )


def _request(scene: Scene) -> Json:
    return {
        "model": scene.client.model,
        "max_tokens": 60,
        "messages": [{"role": "user", "content": "How is the weather in Oslo?"}],
        "tools": [tool(_NAME, _SCHEMA)],
        "tool_choice": _ONE_CALL,
        "extra_body": {"temperature": 0},  # the SDK's newest types lack temperature; the API has it
    }


def _run(scene: Scene, text: str, **options: Any) -> None:
    """Run the SDK's loop of calls and results to completion."""
    from anthropic import beta_tool  # noqa: PLC0415 - an extra, and slow to import

    scene.sdk_result = inputs = []

    def get_weather(city: str, days: int) -> str:
        inputs.append({"city": city, "days": days})
        return _RESULT

    function = beta_tool(get_weather, name=_NAME, description="Returns the weather.", input_schema=SCHEMAS[_SCHEMA])
    with official_sdk(scene.client.target) as sdk:
        runner = sdk.beta.messages.tool_runner(
            model=scene.client.model,
            max_tokens=60,
            messages=[{"role": "user", "content": text}],
            tools=[function],
            **options,
        )
        scene.sdk_message = runner.until_done()
